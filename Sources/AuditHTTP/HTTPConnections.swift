import Logging
import NIOCore

/// The connections of a listener, and what all of them hold together. On its event loop only.
final class HTTPConnections {
  /// Addresses of known peers that are remembered.
  private static let knownPeers = 64

  private let limits: HTTPLimits
  private let logger: Logger
  private var connections: [ObjectIdentifier: HTTPConnection] = [:]
  /// Oldest first.
  private var known: [String] = []
  /// Bytes of bodies and answers.
  private var heldBytes = 0

  init(limits: HTTPLimits, logger: Logger) {
    self.limits = limits
    self.logger = logger
  }

  /// Has another connection make room where there are too many.
  func add(_ connection: HTTPConnection) {
    connections[ObjectIdentifier(connection)] = connection
    guard connections.count > limits.connections else { return }
    let waiting = connections.values.filter { $0.waitsForRequest && $0 !== connection }
    let first = waiting.min { one, other in
      let (isKnown, isOtherKnown) = (isKnown(one), isKnown(other))
      return isKnown == isOtherKnown ? one.since < other.since : isOtherKnown
    }
    (first ?? connection).end("there are \(limits.connections) connections, and it had waited longest")
  }

  func remove(_ connection: HTTPConnection) {
    connections[ObjectIdentifier(connection)] = nil
    heldBytes -= connection.heldBytes
  }

  /// Notes that what a connection holds has changed. Where all hold too much, those make room that have been at their request for longest.
  func changed(_ connection: HTTPConnection, from before: Int) {
    guard connections[ObjectIdentifier(connection)] != nil else { return }
    heldBytes += connection.heldBytes - before
    while heldBytes > limits.heldBytes {
      let holding = connections.values.filter { $0.heldBytes > 0 && $0 !== connection }
      guard let oldest = holding.min(by: { $0.requestedAt < $1.requestedAt }) else { return }
      oldest.end("all connections hold more than \(limits.heldBytes) bytes, and it had been at its request for longest")
    }
  }

  func isOfKnownPeer(_ connection: HTTPConnection) {
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
}
