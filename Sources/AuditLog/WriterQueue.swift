import Glibc
import Synchronization

/// What waits for the writer thread: batches in order, and questions to be answered between commits.
///
/// Bounded by what the batches cost. `@unchecked`: a pthread mutex guards everything; the standard library's Mutex has no condition to wait on.
package final class WriterQueue: @unchecked Sendable {
  package enum Work {
    case batches([AppendBatch])
    case task(() -> Void)
    case end
  }

  private enum Item {
    case batch(AppendBatch)
    case task(() -> Void)
  }

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var items: [Item] = []
  private var taken = 0
  /// How many of the items are tasks.
  private var tasks = 0
  private var pendingBytes = 0
  private var isClosed = false
  /// Counts what happens to the queue, for a thread that looks without the mutex.
  private let changes = Atomic<UInt64>(0)
  /// How many waits for work in a row were short.
  private var eagerness = 0
  /// What waits is not given out while it is less than this.
  private var heldBelow = 0
  private let limitBytes: Int

  /// To sleep and be woken takes a good part of the time of a small sync. A thread whose work has been coming sooner than this looks for
  /// it, so long at most, before it sleeps.
  private static let patience = Duration.microseconds(60)
  private static let eager = 4

  package init(limitBytes: Int) {
    self.limitBytes = limitBytes
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_mutex_destroy(mutex)
    pthread_cond_destroy(condition)
    mutex.deallocate()
    condition.deallocate()
  }

  package enum Submission { case taken, full, closed }

  /// A batch is taken while the ones before it leave any room, so that one of any size can pass.
  package func submit(_ batch: AppendBatch) -> Submission {
    changing {
      if isClosed { return .closed }
      if pendingBytes >= limitBytes { return .full }
      pendingBytes += batch.cost
      items.append(.batch(batch))
      return .taken
    }
  }

  /// Runs `task` on the writer thread after what waits already; false when the queue was closed.
  package func perform(_ task: @escaping () -> Void) -> Bool {
    changing {
      if isClosed { return false }
      items.append(.task(task))
      tasks += 1
      return true
    }
  }

  /// Takes no more; what waits is still worked off.
  package func close() { changing { isClosed = true } }

  /// Wakes the writer thread after the mutex is free: it would only run into it.
  private func changing<Result>(_ change: () -> Result) -> Result {
    pthread_mutex_lock(mutex)
    let result = change()
    pthread_mutex_unlock(mutex)
    changes.add(1, ordering: .releasing)
    pthread_cond_signal(condition)
    return result
  }

  /// Until `release`, batches are given out only when they come to so many bytes.
  package func hold(below bytes: Int) {
    pthread_mutex_lock(mutex)
    heldBelow = bytes
    pthread_mutex_unlock(mutex)
  }

  package func release() { changing { heldBelow = 0 } }

  /// Bytes that wait.
  package var bytes: Int {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return pendingBytes
  }

  /// Waits, with the mutex held, until something has come. Looks for it first where that has been worth it.
  private func awaitWork() {
    let began = ContinuousClock.now
    let isLooking = eagerness >= Self.eager
    if isLooking {
      let seen = changes.load(ordering: .relaxed)
      pthread_mutex_unlock(mutex)
      while changes.load(ordering: .acquiring) == seen, ContinuousClock.now - began < Self.patience {}
      pthread_mutex_lock(mutex)
    }
    while taken == items.count, !isClosed { pthread_cond_wait(condition, mutex) }
    let waited = ContinuousClock.now - began
    if isLooking {
      // What was not found is not looked for again before it has come sooner for a while.
      eagerness = waited < Self.patience ? Self.eager : 0
    } else {
      // One that slept was woken late.
      eagerness = waited < Self.patience * 2 ? eagerness + 1 : 0
    }
  }

  /// Waits for work: the batches at the head, up to about `maxBytes` but at least one, or one task, or the end. Held batches are given out
  /// when a task waits behind them, or the end.
  package func take(maxBytes: Int) -> Work {
    pthread_mutex_lock(mutex)
    defer {
      // What was taken goes from memory, also when there is always something that waits.
      if taken * 2 >= items.count {
        items.removeFirst(taken)
        taken = 0
      }
      pthread_mutex_unlock(mutex)
    }
    if taken == items.count, !isClosed { awaitWork() }
    while !isClosed, taken == items.count || (pendingBytes < heldBelow && tasks == 0) { pthread_cond_wait(condition, mutex) }
    if taken == items.count { return .end }
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
