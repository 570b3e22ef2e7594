import AuditTLS
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
