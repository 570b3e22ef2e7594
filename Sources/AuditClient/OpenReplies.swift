import AuditSchema

/// A running read or subscription. Releasing the last reference ends it on the server.
final class OpenReplies: Sendable {
  private let client: AuditClient
  private let stream = ReplyStream()
  let id: UInt64

  init(_ client: AuditClient, _ make: @escaping ClientConnection.FrameMaker) throws(ClientError) {
    self.client = client
    id = try client.connection.open(stream, make)
  }

  deinit {
    if !stream.isFinished { client.connection.abandon(id) }
  }

  /// The next reply; `nil` at the end.
  ///
  /// - Throws: why the stream ended; `cancelled`, which also ends it on the server.
  func next() async throws(ClientError) -> ReplyStream.Element? {
    do throws(ClientError) {
      let element = try await stream.next()
      client.connection.taken(id, waitingBytes: stream.bytes)
      return element
    } catch {
      if error.code == .cancelled { client.connection.abandon(id) }
      throw error
    }
  }

  /// Grants the subscription more credit, in bytes.
  func grant(_ bytes: Int) { client.connection.grant(bytes, to: id) }
}
