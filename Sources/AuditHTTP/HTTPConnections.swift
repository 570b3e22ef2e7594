import Logging
import NIOCore

/// The connections of a listener, and the bytes that they hold together. Confined to the listener's event loop.
final class HTTPConnections {
  /// Maximum number of remembered addresses of known peers.
  private static let knownPeers = 64

  private let limits: HTTPLimits
  private let logger: Logger
  private var connections: [ObjectIdentifier: HTTPConnection] = [:]
  /// Addresses of known peers, oldest first.
  private var known: [String] = []
  /// Bytes of bodies and answers of all connections.
  private var heldBytes = 0
  /// Connections whose TLS handshake is under way.
  private var handshakes = 0

  init(limits: HTTPLimits, logger: Logger) {
    self.limits = limits
    self.logger = logger
  }

  /// Adds a connection. Above the limit, closes one that waits for a request, or if none does, the new one. Above the limit of handshakes,
  /// closes one of these.
  func add(_ connection: HTTPConnection) {
    connections[ObjectIdentifier(connection)] = connection
    if connection.isHandshaking {
      handshakes += 1
      if handshakes > limits.handshakes, let first = first(where: { $0.isHandshaking && $0 !== connection }) {
        first.end("the limit of \(limits.handshakes) TLS handshakes at once was reached, and its had taken longest")
      }
    }
    guard connections.count > limits.connections else { return }
    let first = first { $0.waitsForRequest && $0 !== connection } ?? connection
    first.end("the limit of \(limits.connections) connections was reached, and it had waited longest")
  }

  /// The connection that makes room first: unknown peers before known ones, and then the longest wait.
  private func first(where isAsked: (HTTPConnection) -> Bool) -> HTTPConnection? {
    connections.values.filter(isAsked).min { one, other in
      let (isKnown, isOtherKnown) = (isKnown(one), isKnown(other))
      return isKnown == isOtherKnown ? one.since < other.since : isOtherKnown
    }
  }

  /// A handshake is complete, or its connection has ended.
  func handshakeEnded() { handshakes -= 1 }

  func remove(_ connection: HTTPConnection) {
    connections[ObjectIdentifier(connection)] = nil
    heldBytes -= connection.heldBytes
  }

  /// Notes that a connection's `heldBytes` has changed. Above the limit, closes other connections, the oldest request first.
  func changed(_ connection: HTTPConnection, from before: Int) {
    guard connections[ObjectIdentifier(connection)] != nil else { return }
    heldBytes += connection.heldBytes - before
    while heldBytes > limits.heldBytes {
      let holding = connections.values.filter { $0.heldBytes > 0 && $0 !== connection }
      guard let oldest = holding.min(by: { $0.requestedAt < $1.requestedAt }) else { return }
      oldest.end("all connections together held more than \(limits.heldBytes) bytes, and its request was the oldest")
    }
  }

  /// Remembers the address of a connection as that of a known peer.
  func addKnownPeer(_ connection: HTTPConnection) {
    guard let address = connection.address, known.last != address else { return }
    known.removeAll { $0 == address }
    if known.count >= Self.knownPeers { known.removeFirst() }
    known.append(address)
  }

  private func isKnown(_ connection: HTTPConnection) -> Bool { connection.address.map { known.contains($0) } ?? false }

  func endOverdue() {
    let now = NIODeadline.now()
    for connection in Array(connections.values) where now >= connection.deadline { connection.overdue() }
  }

  func endAll() {
    for connection in Array(connections.values) { connection.end(nil) }
  }
}
