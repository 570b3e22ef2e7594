import AuditSchema
import Synchronization

/// Who appends: one connection, or the process itself.
///
/// `@unchecked Sendable`: its variables are touched on the writer thread only.
package final class AppendSource: @unchecked Sendable {
  private static let last = Atomic<UInt64>(0)

  package let origin: RecordOrigin
  /// Greater than 0, unique in the process.
  let id: UInt64
  var producer: ProducerEntry?
  /// The line of the producer that it belongs to, and whether it counts as an open connection of that line.
  var line: UInt64 = 0
  var isOpen = false

  package init(origin: RecordOrigin) {
    self.origin = origin
    id = Self.last.add(1, ordering: .relaxed).newValue
  }
}

/// Encoded records on their way to the log, with the requests that they answer.
///
/// An event loop fills it, the sequencer puts an outcome into every request, and the loop gets it back.
///
/// `@unchecked Sendable`: it has one owner at a time.
package final class AppendBatch: @unchecked Sendable {
  /// One append. A trivial type: consecutive requests of one sender share a `senders` entry.
  package struct Request {
    /// Position in `senders`.
    package fileprivate(set) var sender = 0
    /// The request's id on its connection.
    package let id: UInt64
    /// The producer's number of the first event; `nil` for events without numbers.
    package let firstNumber: UInt64?
    package let eventCount: Int
    /// For an append with old and new numbers: its old numbers below this were found in the log.
    package let checkedEnd: UInt64
    /// The records in `records.spans`, and the positions of the other events in `ignored`.
    package let spans: Range<Int>
    package let ignored: Range<Int>
    /// Bytes that it counts as: the larger of its frame and its records.
    package let cost: Int
    /// Whether the answer waits for a signed checkpoint.
    package let isProven: Bool
    package internal(set) var outcome = Outcome.pending

    /// - Parameters:
    ///   - part: where its records are in the batch.
    ///   - bytes: of its frame.
    package init(
      id: UInt64, firstNumber: UInt64?, eventCount: Int, part: EncodedRecords.Part, bytes: Int = 0, isProven: Bool = false,
      checkedEnd: UInt64 = 0
    ) {
      self.id = id
      self.firstNumber = firstNumber
      self.eventCount = eventCount
      self.checkedEnd = checkedEnd
      spans = part.spans
      ignored = part.ignored
      cost = max(bytes, part.byteCount)
      self.isProven = isProven
    }
  }

  /// Who sent requests.
  package struct Sender {
    package let source: AppendSource
    /// Identifies the sender to the batch's owner; 0 for nobody.
    package let token: UInt64
  }

  package enum Outcome {
    case pending
    /// `first` is the sequence of the first record; `nil` when every event is ignored.
    case appended(first: UInt64?)
    /// The first `stored` events were stored before, when their producer's newest record was at `lastSequence`. The records of the other events
    /// start at `first`.
    case duplicate(stored: Int, lastSequence: UInt64?, first: UInt64?)
    /// The reason is at this index of `refusals`.
    case refused(Int)
  }

  package let records = EncodedRecords()
  // Exclusivity checks are off, as measured in `EncodedRecords`. Invariant: one owner at a time, and no access calls back into the batch.
  @exclusivity(unchecked) package internal(set) var requests: [Request] = []
  @exclusivity(unchecked) package private(set) var senders: [Sender] = []
  @exclusivity(unchecked) private var lastSender: (ObjectIdentifier?, UInt64) = (nil, 0)
  @exclusivity(unchecked) package private(set) var refusals: [RequestError] = []
  /// The sum of the requests' costs.
  @exclusivity(unchecked) package private(set) var cost = 0
  /// When its first request was added.
  @exclusivity(unchecked) package private(set) var since = ContinuousClock.now
  /// Who gets the batch back. An owner that keeps spare batches sets this to `nil` in them, which avoids a reference cycle. A weak reference would
  /// make every retain of the owner slower.
  @exclusivity(unchecked) package var owner: (any CommitObserver)?

  package init(owner: (any CommitObserver)?) { self.owner = owner }

  /// - Parameter token: identifies the sender to the batch's owner.
  /// - Returns: the batch's cost, in bytes.
  @discardableResult
  package func add(_ request: Request, source: AppendSource, token: UInt64) -> Int {
    if requests.isEmpty { since = .now }
    cost += request.cost
    let sender = (ObjectIdentifier(source), token)
    if senders.isEmpty || lastSender != sender {
      lastSender = sender
      senders.append(Sender(source: source, token: token))
    }
    var request = request
    request.sender = senders.count - 1
    requests.append(request)
    return cost
  }

  /// The positions of a request's events that made no record.
  package func ignored(of request: Request) -> ArraySlice<UInt32> { records.ignored[request.ignored] }

  /// - Returns: the outcome of requests that are refused for this reason.
  func refusal(_ error: RequestError) -> Outcome {
    refusals.append(error)
    return .refused(refusals.count - 1)
  }

  /// Calls `body` with the requests in place.
  package func withRequests(_ body: (UnsafeMutableBufferPointer<Request>) -> Void) {
    requests.withUnsafeMutableBufferPointer { body($0) }
  }

  package func removeAll() {
    cost = 0
    records.removeAll()
    requests.removeAll(keepingCapacity: true)
    senders.removeAll(keepingCapacity: true)
    refusals.removeAll()
  }

  /// How many records the first `events` events of a request have.
  func spanCount(of request: Request, events: Int) -> Int {
    events - ignored(of: request).prefix { $0 < events }.count
  }
}

/// Is told of commits. Called by one thread at a time, the one that stored the commit; it must not block.
package protocol CommitObserver: AnyObject, Sendable {
  /// - Parameters:
  ///   - batches: the observer's own batches that now have outcomes.
  ///   - next: the durable end.
  func committed(_ batches: [AppendBatch], next: UInt64)
}
