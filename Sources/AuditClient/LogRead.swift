import AuditSchema
import Synchronization

/// The records of one read, in order. Each iteration is a read of its own.
///
/// Bounded: records are asked for about half a megabyte at a time, as they are taken. A consumer that stops in between holds up nobody. If
/// single records are so large that more than a megabyte waits nevertheless, the socket is not read from meanwhile, and the other replies
/// of the connection wait too. Leaving the iteration early, or cancelling its task, ends the read on the server.
public struct LogRead: AsyncSequence, Sendable {
  public typealias Element = Record
  public typealias Failure = ClientError

  let client: AuditClient
  let request: ReadRequest
  private let erased = ErasedCount()

  init(client: AuditClient, request: ReadRequest) {
    self.client = client
    self.request = request
  }

  public func makeAsyncIterator() -> Iterator {
    erased.count.store(0, ordering: .relaxed)
    return Iterator(client: client, request: request, erased: erased)
  }

  /// Erased records that the newest iteration has passed over so far: nobody can tell any more whether they matched the filter.
  public var erasedSkipped: UInt64 { erased.count.load(ordering: .relaxed) }

  /// What an iteration tells of itself to whoever holds the sequence.
  final class ErasedCount: Sendable {
    let count = Atomic<UInt64>(0)
  }

  public struct Iterator: AsyncIteratorProtocol {
    public typealias Failure = ClientError

    private let client: AuditClient
    private let request: ReadRequest
    private var pages: ReadPages?
    private var replies: OpenReplies?
    private var cursor: BatchCursor?
    /// Bytes of the page under way.
    private var bytes = 0
    private let erased: ErasedCount

    init(client: AuditClient, request: ReadRequest, erased: ErasedCount) {
      self.client = client
      self.request = request
      self.erased = erased
    }

    public mutating func next(isolation actor: isolated (any Actor)? = #isolation) async throws(ClientError) -> Record? {
      if pages == nil {
        pages = ReadPages(request, end: ReadPages.needsEnd(request) ? try await client.health().nextSequence : nil)
      }
      while true {
        if let record = try cursor?.nextRecord() {
          guard pages?.contains(record.sequence) == true else { continue }
          return record
        }
        cursor = nil
        guard let replies = try opened() else { return nil }
        switch try await replies.next() {
        case .records(let next, let leafHash, let batch):
          bytes += batch.count
          cursor = BatchCursor(batch: batch, next: next, leafHash: leafHash)
        case .readEnd(let end):
          erased.count.add(end.erasedSkipped, ordering: .relaxed)
          pages?.ended(next: end.next, records: end.records, bytes: bytes)
          self.replies = nil
        case .caughtUp, .progress, nil: self.replies = nil
        }
      }
    }

    /// The replies of the page under way, or of the next one; `nil` when all is read.
    private mutating func opened() throws(ClientError) -> OpenReplies? {
      if let replies { return replies }
      guard let page = pages?.next() else { return nil }
      bytes = 0
      let opened = try OpenReplies(client) { encoder, id throws(RequestError) in try encoder.read(id: id, page) }
      replies = opened
      return opened
    }
  }
}
