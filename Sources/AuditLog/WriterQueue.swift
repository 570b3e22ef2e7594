import Synchronization

/// Work for the writer thread: batches in order, and tasks that run between commits. Bounded by the batches' cost.
package final class WriterQueue: Sendable {
  package enum Work {
    case batches([AppendBatch])
    case task(() -> Void)
    case end
  }

  private enum Item {
    case batch(AppendBatch)
    case task(() -> Void)
  }

  private struct State {
    var items: [Item] = []
    /// Number of items at the head that were taken.
    var taken = 0
    /// Number of waiting tasks.
    var tasks = 0
    var pendingBytes = 0
    var pendingRequests = 0
    var isClosed = false
    /// Batches are held back while they have fewer bytes than this.
    var heldBelow = 0
    /// Number of consecutive short waits for work.
    var shortWaits = 0

    var isIdle: Bool { taken == items.count && !isClosed }

    /// Takes the batches at the head, or the task there. Must not be empty.
    mutating func takeHead(maxBytes: Int) -> Work {
      // Frees taken items, even if the queue never becomes empty.
      defer {
        if taken * 2 >= items.count {
          items.removeFirst(taken)
          taken = 0
        }
      }
      if case .task(let task) = items[taken] {
        taken += 1
        tasks -= 1
        return .task(task)
      }
      var batches: [AppendBatch] = []
      var bytes = 0
      while taken < items.count, case .batch(let batch) = items[taken], batches.isEmpty || bytes + batch.cost <= maxBytes {
        batches.append(batch)
        bytes += batch.cost
        pendingRequests -= batch.requests.count
        taken += 1
      }
      pendingBytes -= bytes
      return .batches(batches)
    }
  }

  private let state = ConditionLock(State())
  /// Counts changes of the state; the writer thread spins on it without the lock.
  private let changes = Atomic<UInt64>(0)
  private let limitBytes: Int

  /// Maximum spin before sleeping. Being woken takes a good part of the time of a small sync.
  private static let maximumSpin = Duration.microseconds(60)
  /// The thread spins after this many consecutive short waits. After a failed spin it stops spinning until arrivals speed up again.
  private static let shortWaitsToSpin = 4

  package init(limitBytes: Int) { self.limitBytes = limitBytes }

  package enum Submission { case taken, full, closed }

  /// Takes a batch while the waiting ones leave any room, so that a batch of any size can pass.
  package func submit(_ batch: AppendBatch) -> Submission {
    change { state in
      if state.isClosed { return .closed }
      if state.pendingBytes >= limitBytes { return .full }
      state.pendingBytes += batch.cost
      state.pendingRequests += batch.requests.count
      state.items.append(.batch(batch))
      return .taken
    }
  }

  /// Runs `task` on the writer thread after everything that waits now. Returns false if the queue is closed.
  package func perform(_ task: @escaping () -> Void) -> Bool {
    change { state in
      if state.isClosed { return false }
      state.items.append(.task(task))
      state.tasks += 1
      return true
    }
  }

  /// Takes no more. Waiting items are still given out.
  package func close() { change { $0.isClosed = true } }

  private func change<Result>(_ body: (inout State) -> Result) -> Result {
    let result = state.withLock(body)
    changes.add(1, ordering: .releasing)
    state.wakeAll()
    return result
  }

  /// Until `release`, batches are given out only when they have at least this many bytes.
  package func hold(below bytes: Int) { state.withLock { $0.heldBelow = bytes } }

  package func release() { change { $0.heldBelow = 0 } }

  /// Cost of the waiting batches, in bytes.
  package var bytes: Int { state.withLock { $0.pendingBytes } }

  /// Requests that wait, and their cost in bytes.
  package var length: (requests: Int, bytes: Int) { state.withLock { ($0.pendingRequests, $0.pendingBytes) } }

  /// Waits for work: the batches at the head (at least one, up to about `maxBytes`), or one task, or the end. Held batches are given out early if
  /// a task or the end waits behind them. On the writer thread only.
  package func take(maxBytes: Int) -> Work {
    awaitWork()
    return state.wait { state in
      if state.taken == state.items.count { return state.isClosed ? .found(.end) : .wait }
      if !state.isClosed, state.pendingBytes < state.heldBelow, state.tasks == 0 { return .wait }
      return .found(state.takeHead(maxBytes: maxBytes))
    }
  }

  /// Waits until something is in the queue. Spins first if the last waits were short.
  private func awaitWork() {
    var spins = false
    var seen: UInt64 = 0
    let isIdle = state.withLock { state in
      spins = state.shortWaits >= Self.shortWaitsToSpin
      seen = changes.load(ordering: .relaxed)
      return state.isIdle
    }
    guard isIdle else { return }
    let began = ContinuousClock.now
    if spins { while changes.load(ordering: .acquiring) == seen, ContinuousClock.now - began < Self.maximumSpin {} }
    state.wait { (state) -> ConditionLock<State>.Look<Void> in
      guard !state.isIdle else { return .wait }
      let waited = ContinuousClock.now - began
      if spins {
        state.shortWaits = waited < Self.maximumSpin ? Self.shortWaitsToSpin : 0
      } else {
        // Waking up takes time, so a sleep may last longer than the wait it stands for.
        state.shortWaits = waited < Self.maximumSpin * 2 ? state.shortWaits + 1 : 0
      }
      return .found(())
    }
  }
}
