import Glibc

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
  private var pendingBytes = 0
  private var isClosed = false
  private let limitBytes: Int

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
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    if isClosed { return .closed }
    if pendingBytes >= limitBytes { return .full }
    pendingBytes += batch.cost
    items.append(.batch(batch))
    pthread_cond_signal(condition)
    return .taken
  }

  /// Runs `task` on the writer thread after what waits already; false when the queue was closed.
  package func perform(_ task: @escaping () -> Void) -> Bool {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    if isClosed { return false }
    items.append(.task(task))
    pthread_cond_signal(condition)
    return true
  }

  /// Takes no more; what waits is still worked off.
  package func close() {
    pthread_mutex_lock(mutex)
    isClosed = true
    pthread_cond_signal(condition)
    pthread_mutex_unlock(mutex)
  }

  /// Bytes that wait.
  package var bytes: Int {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return pendingBytes
  }

  /// Waits for work: the batches at the head, up to about `maxBytes` but at least one, or one task, or the end.
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
    while taken == items.count {
      if isClosed { return .end }
      pthread_cond_wait(condition, mutex)
    }
    if case .task(let task) = items[taken] {
      taken += 1
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
