import Glibc

/// A mutex that owns the state it guards, with a condition to wait for changes of that state. Deadlines are times of the monotonic clock, so
/// setting the machine's clock changes no wait. (The standard library's `Mutex` has no condition.)
///
/// `@unchecked Sendable`: `state` is touched only while the mutex is held.
package final class ConditionLock<State>: @unchecked Sendable {
  /// The result of a look at the state.
  package enum Look<Result> {
    case found(Result)
    /// Look again after the next change.
    case wait
    /// Look again after the next change, or at this time.
    case waitUntil(MonotonicTime)
  }

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let state = UnsafeMutablePointer<State>.allocate(capacity: 1)

  package init(_ state: consuming State) {
    self.state.initialize(to: state)
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    let outcome = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    precondition(outcome == 0, "a condition cannot wait by the monotonic clock: \(outcome)")
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
    state.deinitialize(count: 1)
    state.deallocate()
  }

  /// Reads or changes the state without waking anybody.
  package func withLock<Result>(_ body: (inout State) -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body(&state.pointee)
  }

  /// Changes the state, then wakes everybody who waits.
  package func change<Result>(_ body: (inout State) -> Result) -> Result {
    let result = withLock(body)
    // After unlocking: a woken thread needs the mutex at once.
    wakeAll()
    return result
  }

  /// Wakes everybody who waits, to look at the state again.
  package func wakeAll() { pthread_cond_broadcast(condition) }

  /// Calls `look` now and after every change, until it has found something.
  package func wait<Result>(_ look: (inout State) -> Look<Result>) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      switch look(&state.pointee) {
      case .found(let result): return result
      case .wait: pthread_cond_wait(condition, mutex)
      case .waitUntil(let time):
        var until = timespec(tv_sec: time_t(time.nanoseconds / 1_000_000_000), tv_nsec: Int(time.nanoseconds % 1_000_000_000))
        pthread_cond_timedwait(condition, mutex, &until)
      }
    }
  }
}

/// A time of the monotonic clock (clock_gettime(2), CLOCK_MONOTONIC), in nanoseconds. Nobody can set it.
package struct MonotonicTime: Sendable, Hashable {
  package var nanoseconds: UInt64

  package static var now: MonotonicTime {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return MonotonicTime(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
  }

  package func advanced(by duration: Duration) -> MonotonicTime {
    // At most a century, so that the sum does not overflow.
    let most = UInt64(100 * 366 * 86_400) * 1_000_000_000
    let wanted = max(0, duration / .nanoseconds(1))
    return MonotonicTime(nanoseconds: nanoseconds + (wanted < Double(most) ? UInt64(wanted) : most))
  }
}
