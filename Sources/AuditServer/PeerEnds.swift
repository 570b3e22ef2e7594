import AuditSchema
import AuditTLS
import Logging
import Synchronization

/// Why the server ended a connection or a subscription. Each is counted; the log tells of some of each kind.
enum PeerEnd: Sendable {
  /// The connection got an error.
  case error(RequestError.Code)
  /// The subscription got an error.
  case subscription(RequestError.Code)
  case unauthenticated(cause: String)
  /// The peer read nothing for `writeTimeout`.
  case unread
  /// The same for a second, while too much waits for all peers.
  case crowded
  case reset
  /// The peer's host answers nothing.
  case hostGone
  /// TLS was closed without a farewell.
  case noFarewell
  /// Another failure of the socket.
  case broken
  /// Cut off at the end of `drainTimeout`.
  case drained

  /// The label of the metric.
  var name: String {
    switch self {
    case .error(let code): Self.snakeCase("\(code)")
    case .subscription(let code): "subscription_" + Self.snakeCase("\(code)")
    case .unauthenticated(let cause): "unauthenticated_" + cause
    case .unread: "unread"
    case .crowded: "crowded"
    case .reset: "reset"
    case .hostGone: "host_gone"
    case .noFarewell: "no_farewell"
    case .broken: "broken"
    case .drained: "drained"
    }
  }

  private static func snakeCase(_ name: String) -> String {
    name.reduce(into: "") { text, character in text += character.isUppercase ? "_\(character.lowercased())" : "\(character)" }
  }
}

/// How many connections and subscriptions the server ended, by reason. Any thread.
final class PeerEnds: Sendable {
  private let counts = Mutex<[String: UInt64]>([:])

  func count(_ name: String) { counts.withLock { $0[name, default: 0] += 1 } }

  var all: [(reason: String, count: UInt64)] {
    counts.withLock { counts in counts.map { (reason: $0.key, count: $0.value) } }.sorted { $0.reason < $1.reason }
  }
}

extension AuditServer {
  /// How many connections and subscriptions were ended, by reason; those that have not happened are not there.
  package var endedPeers: [(reason: String, count: UInt64)] { ends.all }
}

extension Session {
  /// Counts an end and logs it: a few lines a minute of one kind, of all connections together, so that strangers cannot fill the log.
  func note(_ end: PeerEnd, _ message: Logger.Message, level: Logger.Level = .notice, _ metadata: @autoclosure () -> Logger.Metadata) {
    let name = end.name
    server.ends.count(name)
    guard logger.logLevel <= level, let suppressed = server.lines.take(name) else { return }
    var metadata = metadata()
    if suppressed > 0 { metadata["suppressed"] = "\(suppressed)" }
    logger.log(level: level, message, metadata: metadata)
  }
}
