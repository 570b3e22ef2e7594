import AuditSchema

/// A read or subscription under way. It is ended on the server when the last reference to this goes.
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

  /// - Throws: why the stream ended, or `cancelled`, which also ends it on the server.
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

  /// Gives a subscription room for more bytes.
  func grant(_ bytes: Int) { client.connection.grant(bytes, to: id) }
}
