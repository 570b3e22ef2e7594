import AuditLog
import Foundation

/// A thread that can be stopped, woken and held to a byte rate.
final class BackgroundThread: Sendable {
  private struct State {
    var isStopped = false
    var isRunning = false
    var isWoken = false
    /// The running thread.
    var thread: pthread_t?
  }

  private let name: String
  private let state = ConditionLock(State())

  init(name: String) { self.name = name }

  func start(_ work: @escaping @Sendable () -> Void) {
    state.change { $0.isRunning = true }
    NamedThread.start(name) { [state] in
      state.change { $0.thread = pthread_self() }
      work()
      state.change { state in
        state.isRunning = false
        state.thread = nil
      }
    }
  }

  /// Ends the thread and waits for it. On the thread itself it only tells it to end: the thread may have held the last reference to the
  /// store, whose `deinit` calls this.
  func stop() {
    let isOwn = state.change { state in
      state.isStopped = true
      return state.thread.map { pthread_equal($0, pthread_self()) != 0 } ?? false
    }
    guard !isOwn else { return }
    state.wait { $0.isRunning ? .wait : .found(()) }
  }

  /// Ends the current `sleep`, or the next one.
  func wake() { state.change { $0.isWoken = true } }

  /// Waits for `wake`. Returns whether to go on.
  func sleep() -> Bool {
    state.wait { state in
      guard state.isStopped || state.isWoken else { return .wait }
      state.isWoken = false
      return .found(!state.isStopped)
    }
  }

  /// Waits for `duration`, or until `stop`. Returns whether to go on.
  func rest(_ duration: Duration) -> Bool {
    let until = MonotonicTime.now.advanced(by: duration)
    return state.wait { state in
      if state.isStopped { return .found(false) }
      return MonotonicTime.now.nanoseconds < until.nanoseconds ? .waitUntil(until) : .found(true)
    }
  }

  /// Rests when `bytes` since `began` exceed the rate by more than 20 ms. Returns whether to go on.
  func keepTo(_ bytesPerSecond: UInt64, _ bytes: UInt64, since began: ContinuousClock.Instant) -> Bool {
    let due = Duration.nanoseconds(Double(bytes) / Double(bytesPerSecond) * 1e9)
    let ahead = due - (ContinuousClock.now - began)
    return ahead < .milliseconds(20) || rest(ahead)
  }
}
