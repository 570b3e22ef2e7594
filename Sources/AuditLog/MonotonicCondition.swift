import Glibc

/// A mutex, and a condition whose waits end by the monotonic clock: setting the machine's clock makes none of them longer or shorter.
///
/// `@unchecked`: a pthread mutex guards what its owner guards with it.
package final class MonotonicCondition: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  package init() {
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
  }

  package func lock() { pthread_mutex_lock(mutex) }
  package func unlock() { pthread_mutex_unlock(mutex) }

  package func withLock<Value>(_ body: () throws -> Value) rethrows -> Value {
    lock()
    defer { unlock() }
    return try body()
  }

  package func signal() { pthread_cond_signal(condition) }
  package func broadcast() { pthread_cond_broadcast(condition) }

  /// Waits for a signal. The lock is held before and after.
  package func wait() { pthread_cond_wait(condition, mutex) }

  /// Waits for a signal, at most until a time. The lock is held before and after.
  ///
  /// - Returns: false when the time has come.
  package func wait(until time: MonotonicTime) -> Bool {
    var until = timespec(tv_sec: time_t(time.nanoseconds / 1_000_000_000), tv_nsec: Int(time.nanoseconds % 1_000_000_000))
    return pthread_cond_timedwait(condition, mutex, &until) != ETIMEDOUT
  }
}

/// A point in time of the monotonic clock (clock_gettime(2), CLOCK_MONOTONIC), in nanoseconds: it goes on whatever the machine's clock is set to.
package struct MonotonicTime: Sendable, Hashable {
  package var nanoseconds: UInt64

  package static var now: MonotonicTime {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return MonotonicTime(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
  }

  package func advanced(by duration: Duration) -> MonotonicTime {
    // A century, so that the sum has a place.
    let most = UInt64(100 * 366 * 86_400) * 1_000_000_000
    let wanted = max(0, duration / .nanoseconds(1))
    return MonotonicTime(nanoseconds: nanoseconds + (wanted < Double(most) ? UInt64(wanted) : most))
  }
}
