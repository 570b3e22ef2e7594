import AuditSchema
import Synchronization

/// The records of one read, in order. Each iteration sends its own requests.
///
/// Memory is bounded: the client requests about 512 KiB of records at a time, as they are consumed. A slow consumer delays nobody else,
/// with one exception: while more than 1 MiB waits, because single records are that large, the client stops reading the socket and all
/// replies of the connection wait. Leaving the iteration early, or cancelling its task, ends the read on the server.
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

  /// Number of erased records that the newest iteration has skipped so far. Whether they matched the filter is no longer known.
  public var erasedSkipped: UInt64 { erased.count.load(ordering: .relaxed) }

  /// A count that an iteration shares with its sequence.
  final class ErasedCount: Sendable {
    let count = Atomic<UInt64>(0)
  }

  /// One read. For one task at a time.
  public struct Iterator: AsyncIteratorProtocol {
    public typealias Failure = ClientError

    private let client: AuditClient
    private let request: ReadRequest
    private var pages: ReadPages?
    private var replies: OpenReplies?
    private var cursor: BatchCursor?
    /// Bytes received of the current page.
    private var bytes = 0
    private let erased: ErasedCount

    init(client: AuditClient, request: ReadRequest, erased: ErasedCount) {
      self.client = client
      self.request = request
      self.erased = erased
    }

    /// The next record; `nil` at the end.
    ///
    /// - Throws: `refused` (with `historyDiffers` when the log no longer contains the given history), `cancelled`, or why the connection
    ///   ended.
    public mutating func next(isolation actor: isolated (any Actor)? = #isolation) async throws(ClientError) -> Record? {
      if pages == nil {
        pages = ReadPages(request, end: ReadPages.needsEnd(request) ? try await end() : nil)
      }
      while true {
        if let record = try cursor?.nextRecord() {
          guard pages?.contains(record.sequence) == true else { continue }
          return record
        }
        cursor = nil
        guard let replies = try openReplies() else { return nil }
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

    /// The end of the log as of now, from a read that begins there. `health` has it too, but takes another right.
    private nonisolated(nonsending) func end() async throws(ClientError) -> UInt64 {
      let question = ReadRequest(start: .latest, history: nil, filter: RecordFilter(), limit: 1, backwards: false)
      let replies = try OpenReplies(client) { encoder, id throws(RequestError) in try encoder.read(id: id, question) }
      while let reply = try await replies.next() {
        if case .readEnd(let end) = reply { return end.next }
      }
      throw ClientError(.protocolViolation, "the server ended a read without a reply that says so")
    }

    /// The replies of the current page, or of the next after its end; `nil` after the last page.
    private mutating func openReplies() throws(ClientError) -> OpenReplies? {
      if let replies { return replies }
      guard let page = pages?.next() else { return nil }
      bytes = 0
      let opened = try OpenReplies(client) { encoder, id throws(RequestError) in try encoder.read(id: id, page) }
      replies = opened
      return opened
    }
  }
}
