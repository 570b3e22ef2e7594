import AuditSchema
import Synchronization

/// Who appends: one connection, or the process itself.
package final class AppendSource: @unchecked Sendable {
  private static let last = Atomic<UInt64>(0)

  package let origin: RecordOrigin
  /// Greater than 0, and no other's.
  let id: UInt64
  // The sequencer's, touched by its thread alone: hence `@unchecked`.
  var producer: ProducerEntry?
  /// The producer's line that it belongs to, and whether it counts as one of its connections.
  var line: UInt64 = 0
  var isOpen = false

  package init(origin: RecordOrigin) {
    self.origin = origin
    id = Self.last.add(1, ordering: .relaxed).newValue
  }
}

/// Encoded records on their way to the log, with the requests that they answer.
///
/// Filled by one event loop, then given to the sequencer, then given back with an outcome in every request: one owner at a time, which is
/// why it may cross threads unchecked.
package final class AppendBatch: @unchecked Sendable {
  /// One append. Plain bytes: what they belong to stands in the batch, once for all appends in a row.
  package struct Request {
    /// Position in `senders`.
    package fileprivate(set) var sender = 0
    /// What the owner knows the request by.
    package let id: UInt64
    /// The producer's number of the first event; `nil` for events without numbers.
    package let firstNumber: UInt64?
    package let eventCount: Int
    /// Of an append that has old numbers and new ones: the old ones below this have been found in the log.
    package let checkedEnd: UInt64
    /// The records in `records.spans`, and the positions of the other events in `ignored`.
    package let spans: Range<Int>
    package let ignored: Range<Int>
    /// Bytes that it counts for in limits: those of its frame or those of its records, whatever is more.
    package let cost: Int
    /// Whether the answer waits for a signed checkpoint.
    package let isProven: Bool
    package internal(set) var outcome = Outcome.pending

    /// - Parameters:
    ///   - part: what the events became in the batch's records.
    ///   - bytes: those of the frame.
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

  /// Whose requests they are.
  package struct Sender {
    package let source: AppendSource
    /// What the owner knows the sender by; 0 for nobody.
    package let token: UInt64
  }

  package enum Outcome {
    case pending
    /// `first` is the sequence of the first record; `nil` when every event is ignored.
    case appended(first: UInt64?)
    /// The first `stored` events had been stored before, the newest record of their producer then at `lastSequence`; records of the other
    /// events were appended from `first` on.
    case duplicate(stored: Int, lastSequence: UInt64?, first: UInt64?)
    /// For the reason at this position of `refusals`.
    case refused(Int)
  }

  package let records = EncodedRecords()
  // One owner at a time, and a check of every access costs several per cent of the server's time.
  @exclusivity(unchecked) package internal(set) var requests: [Request] = []
  @exclusivity(unchecked) package private(set) var senders: [Sender] = []
  @exclusivity(unchecked) private var lastSender: (ObjectIdentifier?, UInt64) = (nil, 0)
  @exclusivity(unchecked) package private(set) var refusals: [RequestError] = []
  /// The sum of the requests' costs.
  @exclusivity(unchecked) package private(set) var cost = 0
  /// When its first request was added.
  @exclusivity(unchecked) package private(set) var since = ContinuousClock.now
  /// Who gets it back. An owner that keeps batches to use them again lets go of itself in them meanwhile; a weak reference would make each
  /// retain of the owner several times as dear.
  @exclusivity(unchecked) package var owner: (any CommitObserver)?

  package init(owner: (any CommitObserver)?) { self.owner = owner }

  /// - Parameter token: what the owner knows the sender by.
  /// - Returns: the batch's cost.
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

  /// The requests in place.
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

/// Hears what the sequencer did. Called by one thread at a time, the one that stored the commit, which must not be held up.
package protocol CommitObserver: AnyObject, Sendable {
  /// - Parameters:
  ///   - batches: those of this observer that now have an outcome.
  ///   - next: the durable end.
  func committed(_ batches: [AppendBatch], next: UInt64)
}
