import AuditSchema

/// Replays the log and then follows it, on one connection. Each iteration is a separate subscription.
///
/// Memory is bounded: the server sends at most `creditBytes`, and one more record, ahead of the consumer.
public struct LogSubscription: AsyncSequence, Sendable {
  public typealias Element = FollowEvent
  public typealias Failure = ClientError

  let client: AuditClient
  let start: Start
  let history: LogHistory?
  let filter: RecordFilter
  let creditBytes: Int

  public func makeAsyncIterator() -> Iterator { Iterator(self) }

  /// One subscription. For one task at a time.
  public struct Iterator: AsyncIteratorProtocol {
    public typealias Failure = ClientError

    private let subscription: LogSubscription
    private var replies: OpenReplies?
    private var cursor: BatchCursor?
    /// Bytes consumed since the last grant of credit.
    private var owed = 0
    /// Where to resume: after the last delivered record, or where the server reported progress.
    private(set) var position: FollowedPosition?
    /// Number of erased records skipped, as of the last `caughtUp` or `progress`. Whether they matched the filter is no longer known.
    public private(set) var erasedSkipped: UInt64 = 0

    init(_ subscription: LogSubscription) { self.subscription = subscription }

    /// The next event; `nil` if the server ended the subscription without an error.
    ///
    /// - Throws: `refused` with the server's reason, `cancelled`, or why the connection ended.
    public mutating func next(isolation actor: isolated (any Actor)? = #isolation) async throws(ClientError) -> FollowEvent? {
      let replies = try openReplies()
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

    private mutating func openReplies() throws(ClientError) -> OpenReplies {
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
      // Credit is granted a quarter at a time: fewer frames, and the server never runs out.
      guard owed >= Swift.max(1, subscription.creditBytes / 4) else { return }
      replies.grant(owed)
      owed = 0
    }
  }
}
