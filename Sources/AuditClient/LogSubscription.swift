import AuditSchema

/// Replays the log and then follows it, on one connection. Each iteration is a subscription of its own.
///
/// Bounded: the server sends no more than `creditBytes` (and one record) ahead of what the consumer has taken.
public struct LogSubscription: AsyncSequence, Sendable {
  public typealias Element = FollowEvent
  public typealias Failure = ClientError

  let client: AuditClient
  let start: Start
  let history: LogHistory?
  let filter: RecordFilter
  let creditBytes: Int

  public func makeAsyncIterator() -> Iterator { Iterator(self) }

  public struct Iterator: AsyncIteratorProtocol {
    public typealias Failure = ClientError

    private let subscription: LogSubscription
    private var replies: OpenReplies?
    private var cursor: BatchCursor?
    /// Bytes that were consumed and not yet given back as credit.
    private var owed = 0
    /// Where to resume: the position after the last record that was handed out, or further when the server said so.
    private(set) var position: FollowedPosition?
    /// Erased records that the server has passed over, as of the last `caughtUp` or `progress`: nobody can tell any more whether they matched
    /// the filter.
    public private(set) var erasedSkipped: UInt64 = 0

    init(_ subscription: LogSubscription) { self.subscription = subscription }

    public mutating func next(isolation actor: isolated (any Actor)? = #isolation) async throws(ClientError) -> FollowEvent? {
      let replies = try opened()
      while true {
        if let record = try cursor?.nextRecord() {
          position = FollowedPosition(after: record)
          return .record(record)
        }
        if let cursor { consumed(cursor, of: replies) }
        cursor = nil
        switch try await replies.next() {
        case .records(let next, let leafHash, let batch): cursor = BatchCursor(batch: batch, next: next, leafHash: leafHash)
        case .caughtUp(let next, let leafHash, let erased):
          erasedSkipped = erased
          advance(to: next, leafHash)
          return .caughtUp(next: next)
        case .progress(let next, let leafHash, let erased):
          erasedSkipped = erased
          advance(to: next, leafHash)
          return .progress(next: next)
        case .readEnd, nil: return nil
        }
      }
    }

    private mutating func opened() throws(ClientError) -> OpenReplies {
      if let replies { return replies }
      let credit = UInt64(Swift.max(1, subscription.creditBytes))
      let request = SubscribeRequest(
        start: subscription.start, history: subscription.history, filter: subscription.filter, credit: credit)
      let opened = try OpenReplies(subscription.client) { encoder, id throws(RequestError) in try encoder.subscribe(id: id, request) }
      replies = opened
      return opened
    }

    private mutating func advance(to next: UInt64, _ leafHash: [UInt8]?) {
      position = position?.advanced(to: next, leafHash: leafHash) ?? FollowedPosition(next: next, leafHash: leafHash)
    }

    private mutating func consumed(_ cursor: BatchCursor, of replies: OpenReplies) {
      advance(to: cursor.next, cursor.leafHash)
      owed += cursor.byteCount
      // Not for every batch: a quarter at a time keeps the server sending.
      guard owed >= Swift.max(1, subscription.creditBytes / 4) else { return }
      replies.grant(owed)
      owed = 0
    }
  }
}
