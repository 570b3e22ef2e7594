import AuditSchema

/// The records of one read, in order. Each iteration is a read of its own.
///
/// Bounded: a consumer that is slow stops the socket, and with it the other replies of its connection. Ending the iteration early, or
/// cancelling its task, ends the read on the server.
public struct LogRead: AsyncSequence, Sendable {
  public typealias Element = Record
  public typealias Failure = ClientError

  let client: AuditClient
  let request: ReadRequest

  public func makeAsyncIterator() -> Iterator { Iterator(client: client, request: request) }

  public struct Iterator: AsyncIteratorProtocol {
    public typealias Failure = ClientError

    private let client: AuditClient
    private let request: ReadRequest
    private var replies: OpenReplies?
    private var cursor: BatchCursor?

    init(client: AuditClient, request: ReadRequest) {
      self.client = client
      self.request = request
    }

    public mutating func next(isolation actor: isolated (any Actor)? = #isolation) async throws(ClientError) -> Record? {
      let replies = try opened()
      while true {
        if let record = try cursor?.nextRecord() { return record }
        cursor = nil
        guard let element = try await replies.next() else { return nil }
        if case .records(let next, let batch) = element { cursor = BatchCursor(batch: batch, next: next) }
      }
    }

    private mutating func opened() throws(ClientError) -> OpenReplies {
      if let replies { return replies }
      let opened = try OpenReplies(client) { [request] encoder, id throws(SchemaError) in try encoder.read(id: id, request) }
      replies = opened
      return opened
    }
  }
}
