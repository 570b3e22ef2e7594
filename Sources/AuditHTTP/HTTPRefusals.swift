import Logging
import NIOCore
import Synchronization

/// Counts what a listener turned away before anybody made an answer, and logs it, a few lines a minute at most.
public final class HTTPRefusals: Sendable {
  /// The raw values are names of a metric's label.
  enum Cause: String, Sendable, CaseIterable {
    /// Another protocol on a port of TLS.
    case plaintext
    case handshake
    case host
    case crossSite = "cross_site"
  }

  private let logger: Logger
  private let counts = Mutex<[Cause: UInt64]>([:])
  private let onHandshake: @Sendable (String) -> Void
  private let lines = LogAllowance()

  /// - Parameter onHandshake: called with the reason for each connection that failed to begin TLS, on the event loop.
  public init(logger: Logger, onHandshake: @escaping @Sendable (String) -> Void = { _ in }) {
    self.logger = logger
    self.onHandshake = onHandshake
  }

  func note(_ cause: Cause, _ reason: String, peer: String?) {
    counts.withLock { $0[cause, default: 0] += 1 }
    if cause == .plaintext || cause == .handshake { onHandshake(reason) }
    guard let suppressed = lines.take(cause.rawValue) else { return }
    var metadata: Logger.Metadata = ["cause": "\(cause.rawValue)", "reason": "\(reason)"]
    if let peer { metadata["peer"] = "\(peer)" }
    if suppressed > 0 { metadata["suppressed"] = "\(suppressed)" }
    logger.notice("HTTP: a connection or request was refused", metadata: metadata)
  }

  /// How many were turned away since the start, by cause; every cause is there.
  public var all: [(cause: String, count: UInt64)] {
    counts.withLock { counts in Cause.allCases.map { ($0.rawValue, counts[$0] ?? 0) } }
  }
}

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
