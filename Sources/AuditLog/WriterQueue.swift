import Synchronization

/// What waits for the writer thread: batches in order, and questions to be answered between commits. Bounded by the cost of the batches.
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
    /// Items at the head that were given out.
    var taken = 0
    /// How many of the items are tasks.
    var tasks = 0
    var pendingBytes = 0
    var isClosed = false
    /// Batches are not given out while they come to fewer bytes than this.
    var heldBelow = 0
    /// How many waits for work in a row were short.
    var shortWaits = 0

    var isIdle: Bool { taken == items.count && !isClosed }

    /// Takes the batches at the head, or the task that is there. Something is.
    mutating func takeHead(maxBytes: Int) -> Work {
      // What was taken leaves memory, also when something always waits.
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
        taken += 1
      }
      pendingBytes -= bytes
      return .batches(batches)
    }
  }

  private let state = ConditionLock(State())
  /// Counts the changes of the state, for the writer thread to look at without the lock.
  private let changes = Atomic<UInt64>(0)
  private let limitBytes: Int

  /// Maximum spin before sleeping. To sleep and be woken takes a good part of the time of a small sync.
  private static let maximumSpin = Duration.microseconds(60)
  /// After so many short waits in a row the thread spins before it sleeps; after a spin in vain it begins to count again.
  private static let shortWaitsToSpin = 4

  package init(limitBytes: Int) { self.limitBytes = limitBytes }

  package enum Submission { case taken, full, closed }

  /// A batch is taken while the ones before it leave any room, so that one of any size can pass.
  package func submit(_ batch: AppendBatch) -> Submission {
    change { state in
      if state.isClosed { return .closed }
      if state.pendingBytes >= limitBytes { return .full }
      state.pendingBytes += batch.cost
      state.items.append(.batch(batch))
      return .taken
    }
  }

  /// Runs `task` on the writer thread after what waits already; false when the queue was closed.
  package func perform(_ task: @escaping () -> Void) -> Bool {
    change { state in
      if state.isClosed { return false }
      state.items.append(.task(task))
      state.tasks += 1
      return true
    }
  }

  /// Takes no more; what waits is still worked off.
  package func close() { change { $0.isClosed = true } }

  private func change<Result>(_ body: (inout State) -> Result) -> Result {
    let result = state.withLock(body)
    changes.add(1, ordering: .releasing)
    state.wakeAll()
    return result
  }

  /// Until `release`, batches are given out only when they come to so many bytes.
  package func hold(below bytes: Int) { state.withLock { $0.heldBelow = bytes } }

  package func release() { change { $0.heldBelow = 0 } }

  /// Bytes that wait.
  package var bytes: Int { state.withLock { $0.pendingBytes } }

  /// Waits for work: the batches at the head, up to about `maxBytes` but at least one, or one task, or the end. Held batches are given out
  /// when a task waits behind them, or the end. On the writer thread only.
  package func take(maxBytes: Int) -> Work {
    awaitWork()
    return state.wait { state in
      if state.taken == state.items.count { return state.isClosed ? .found(.end) : .wait }
      if !state.isClosed, state.pendingBytes < state.heldBelow, state.tasks == 0 { return .wait }
      return .found(state.takeHead(maxBytes: maxBytes))
    }
  }

  /// Waits until something has come. Spins for it first where the last waits were short.
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
        // A thread that slept was woken late.
        state.shortWaits = waited < Self.maximumSpin * 2 ? state.shortWaits + 1 : 0
      }
      return .found(())
    }
  }
}
