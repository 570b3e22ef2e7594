import AuditSchema

/// Keeps encoded records in order and for good.
///
/// A store sees bytes and positions, never an event. The sequencer is its only writer: `append` is called by one thread at a time and
/// returns when the commit is durable; meanwhile another may `prepare` the next one. Reads may come from any thread, at any time, also
/// while a commit is under way, and see only what is durable.
public protocol RecordStore: AnyObject, Sendable {
  /// What the store held when it was opened.
  var start: LogStart { get }

  /// The durable end: the sequence that the next record will get. Never decreases.
  var nextSequence: UInt64 { get }

  /// Does what can be done for a commit before its turn: other commits may be under way.
  ///
  /// - Returns: what the store wants to find in the commit's `preparation` when it is appended; `nil`: nothing.
  /// - Throws: `.invalid` for a commit that could not be read back.
  func prepare(_ commit: borrowing Commit) throws(StoreError) -> (any Sendable)?

  /// Stores a commit, whole or not at all, and returns when it would survive a power cut.
  ///
  /// - Parameters:
  ///   - commit: its `firstSequence` is `nextSequence`, its `receivedAt` greater than that of the record before it, unless it `stepsBack`.
  ///   - state: asked for when the store begins a new segment; the sequencer's state before this commit.
  /// - Throws: `.full` when there is no room: nothing was stored, a later append may succeed. `.failed` when it is not known what the disk
  ///   holds: every later append throws the same.
  func append(_ commit: borrowing Commit, state: () -> [UInt8]) throws(StoreError)

  /// Copies whole records from `position` on into `buffer`, in order, as one stretch that is the payload of a `RecordBatch`.
  ///
  /// Every record's checksum and sequence have been checked. Returns `.end` when `position` is at or past `min(end, nextSequence)`.
  func read(from position: ReadPosition, before end: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StoreError) -> ReadResult

  /// The records that were received in `times` (Unix ns), as ranges of sequences, ascending, none of them empty: at most one for each stretch of
  /// time, since time ascends within a stretch.
  func received(in times: Range<UInt64>) throws(StoreError) -> [Range<UInt64>]

  /// Where in `range` to read next for a record that a filter wants, from its start on, or from its end on when `backwards`.
  ///
  /// What lies between that bound of `range` and the stretch holds no such record. The stretch may hold none either: it is what the store
  /// could not rule out. It is empty when nothing is left up to its place; it may lie before the other bound of `range`, so that no call
  /// takes long: ask again from there.
  ///
  /// - Parameter range: not empty, and within what is durable.
  func candidates(in range: Range<UInt64>, for terms: SearchTerms, backwards: Bool) throws(StoreError) -> CandidateStretch

  /// Size and condition, for health and metrics.
  var status: StoreStatus { get }

  /// What lets others check the records; `nil` where the store keeps nothing of the kind.
  var evidence: (any EvidenceStore)? { get }

  /// Ends appending in good order and releases the store. Reads fail afterwards.
  func close() throws(StoreError)
}

extension RecordStore {
  public var evidence: (any EvidenceStore)? { nil }

  /// The first sequence whose record was received at `time` (Unix ns) or later; `nextSequence` when there is none.
  public func sequence(receivedAtOrAfter time: UInt64) throws(StoreError) -> UInt64 {
    try received(in: time..<max(time, .max)).first?.lowerBound ?? nextSequence
  }

  public func prepare(_ commit: borrowing Commit) throws(StoreError) -> (any Sendable)? { nil }

  /// A store without a search index rules nothing out.
  public func candidates(in range: Range<UInt64>, for terms: SearchTerms, backwards: Bool) throws(StoreError) -> CandidateStretch {
    CandidateStretch(start: ReadPosition(sequence: range.lowerBound), end: range.upperBound)
  }
}

/// Records that follow each other, some of which may be wanted.
public struct CandidateStretch: Sendable {
  /// The first of them.
  public var start: ReadPosition
  /// The sequence after the last of them.
  public var end: UInt64
  /// How many bytes to read for them, at most, where the store knows.
  public var bytes: UInt64?

  public init(start: ReadPosition, end: UInt64, bytes: UInt64? = nil) {
    self.start = start
    self.end = end
    self.bytes = bytes
  }

  public var isEmpty: Bool { start.sequence >= end }
}

/// What a store held when it was opened.
public struct LogStart: Sendable {
  /// 16 random bytes that name the log.
  public var logID: [UInt8]
  /// The first sequence that can be read.
  public var firstSequence: UInt64
  public var nextSequence: UInt64
  /// `received_at` of the last record; 0 when there is none.
  public var lastReceivedAt: UInt64
  /// The newest state that a commit left with the store (empty: none), and the sequence as of which it holds. The sequencer reads the
  /// records from there on to bring it up to date; their number is bounded by the size of a segment.
  public var state: [UInt8]
  public var stateSequence: UInt64

  public init(
    logID: [UInt8], firstSequence: UInt64, nextSequence: UInt64, lastReceivedAt: UInt64, state: [UInt8], stateSequence: UInt64
  ) {
    self.logID = logID
    self.firstSequence = firstSequence
    self.nextSequence = nextSequence
    self.lastReceivedAt = lastReceivedAt
    self.state = state
    self.stateSequence = stateSequence
  }
}

/// Records that become durable together.
public struct Commit: ~Copyable {
  public let firstSequence: UInt64
  public let count: Int
  /// Unix time in nanoseconds, the same in the header of every record of the commit.
  public let receivedAt: UInt64
  /// Whether the machine's clock was set back before it: it begins a new stretch of time, and its time may be any that is greater than 0.
  public let stepsBack: Bool
  /// The encoded records, each with the tag and length of `RecordBatch.records`. Valid during the call only.
  public let bytes: UnsafeRawBufferPointer
  /// What the store's `prepare` gave for this very commit, if it was asked.
  public var preparation: (any Sendable)?

  public init(firstSequence: UInt64, count: Int, receivedAt: UInt64, stepsBack: Bool = false, bytes: UnsafeRawBufferPointer) {
    self.firstSequence = firstSequence
    self.count = count
    self.receivedAt = receivedAt
    self.stepsBack = stepsBack
    self.bytes = bytes
  }
}

/// A position to read from. Made from a sequence; one that `read` returned also knows the place on disk, so that reading on costs no search.
public struct ReadPosition: Sendable {
  public var sequence: UInt64
  /// For the store that returned it.
  package var segment: UInt64 = .max
  package var offset: UInt64 = 0

  public init(sequence: UInt64) { self.sequence = sequence }

  package init(sequence: UInt64, segment: UInt64, offset: UInt64) {
    self.sequence = sequence
    self.segment = segment
    self.offset = offset
  }
}

public enum ReadResult: Sendable {
  /// `range` of the buffer holds `count` records, at least one; `next` is the position after them.
  case records(range: Range<Int>, count: Int, next: ReadPosition)
  /// There is nothing at this position yet.
  case end
  /// The next record alone needs a buffer of this many bytes.
  case bufferTooSmall(neededBytes: Int)
}

public struct StoreStatus: Sendable {
  /// Bytes of all segments.
  public var bytes: UInt64 = 0
  public var segments: Int = 0
  /// Bytes that recovery cut from the torn end at the last open, and the file that keeps them.
  public var tornBytes: UInt64 = 0
  public var tornFile: String?
  /// Why appends are refused; `.full` while there is no room, `.failed` for good.
  public var appendFailure: StoreError?
  public var scrub = ScrubStatus()
  /// How long the syncs of commits took.
  public var syncDurations = DurationHistogram.Snapshot()

  public init() {}
}

/// What went wrong in a store: a code to act on, and a sentence that says what, where and what to do.
public struct StoreError: Error, Sendable, CustomStringConvertible {
  public enum Code: Sendable {
    /// No room; nothing was stored.
    case full
    /// It is not known what the disk holds; appending has ended for good.
    case failed
    /// Bytes on disk are not what was written.
    case damaged
    /// The log is not the one that was signed.
    case tampered
    /// Another process has the data directory.
    case locked
    /// The directory cannot be used: missing, of another format, not writable.
    case unusable
    /// The store was closed.
    case closed
    /// A commit that the store could not read back: a fault of its maker. Nothing was stored.
    case invalid
  }

  public var code: Code
  public var message: String
  public var path: String?
  /// Offset in the file, in bytes.
  public var offset: UInt64?

  public init(_ code: Code, _ message: String, path: String? = nil, offset: UInt64? = nil) {
    self.code = code
    self.message = message
    self.path = path
    self.offset = offset
  }

  public var description: String { message }
}
