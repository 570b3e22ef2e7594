import NIOCore
import Synchronization

/// How many lines may be logged of one thing that strangers can cause as often as they like. Any thread.
package final class LogAllowance: Sendable {
  /// Lines of one key a minute.
  package static let linesPerMinute = 10

  private struct Minute {
    var began: NIODeadline
    var lines = 0
    var suppressed = 0
  }

  /// By keys that the caller chooses, never the peer.
  private let minutes = Mutex<[String: Minute]>([:])

  package init() {}

  /// - Parameter key: one of a fixed set.
  /// - Returns: `nil` if no line may be logged now; otherwise how many were not logged since the last one that was.
  package func take(_ key: String) -> Int? {
    minutes.withLock { minutes in
      let now = NIODeadline.now()
      var minute = minutes[key] ?? Minute(began: now)
      defer { minutes[key] = minute }
      if now - minute.began >= .minutes(1) { minute = Minute(began: now, suppressed: minute.suppressed) }
      guard minute.lines < Self.linesPerMinute else {
        minute.suppressed += 1
        return nil
      }
      minute.lines += 1
      defer { minute.suppressed = 0 }
      return minute.suppressed
    }
  }
}
