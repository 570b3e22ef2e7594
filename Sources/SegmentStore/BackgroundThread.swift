import AuditLog
import Foundation

/// A thread that works at a bounded rate, rests, and ends when it is told to.
final class BackgroundThread: @unchecked Sendable {
  private let name: String
  private let condition = MonotonicCondition()
  // Guarded by `condition`.
  private var isStopped = false
  private var isRunning = false
  private var isWoken = false

  init(name: String) { self.name = name }

  func start(_ work: @escaping @Sendable () -> Void) {
    isRunning = true
    let thread = Thread { [self] in
      work()
      condition.withLock {
        isRunning = false
        condition.broadcast()
      }
    }
    thread.name = name
    thread.start()
  }

  /// Ends the thread and waits for its end.
  func stop() {
    condition.withLock {
      isStopped = true
      condition.broadcast()
      while isRunning { condition.wait() }
    }
  }

  /// Ends a `sleep`: the one under way, or else the next.
  func wake() {
    condition.withLock {
      isWoken = true
      condition.broadcast()
    }
  }

  /// Waits for `wake`. Returns whether the work goes on.
  func sleep() -> Bool {
    condition.withLock {
      while !isStopped, !isWoken { condition.wait() }
      isWoken = false
      return !isStopped
    }
  }

  /// Returns whether the work goes on.
  func rest(_ duration: Duration) -> Bool {
    let until = MonotonicTime.now.advanced(by: duration)
    return condition.withLock {
      while !isStopped, condition.wait(until: until) {}
      return !isStopped
    }
  }

  /// Rests where `bytes` since `began` are ahead of the rate by more than a moment. Returns whether the work goes on.
  func keepTo(_ bytesPerSecond: UInt64, _ bytes: UInt64, since began: ContinuousClock.Instant) -> Bool {
    let due = Duration.nanoseconds(Double(bytes) / Double(bytesPerSecond) * 1e9)
    let ahead = due - (ContinuousClock.now - began)
    return ahead < .milliseconds(20) || rest(ahead)
  }
}
