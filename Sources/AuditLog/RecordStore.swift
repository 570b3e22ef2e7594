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

  /// Prepares a commit while an earlier one may still be under way.
  ///
  /// - Returns: the value for the commit's `preparation`; `nil` if the store needs none.
  /// - Throws: `.invalid` for a commit that could not be read back.
  func prepare(_ commit: borrowing Commit) throws(StoreError) -> (any Sendable)?

  /// Stores a commit, whole or not at all, and returns when it would survive a power cut.
  ///
  /// - Parameters:
  ///   - commit: its `firstSequence` is `nextSequence`; its `receivedAt` is greater than that of the record before it, unless it `stepsBack`.
  ///   - state: called if the store begins a new segment; the sequencer's state before this commit.
  /// - Throws: `.full`: there is no room, nothing was stored, a later append may succeed. `.failed`: it is not known what the disk holds; every
  ///   later append throws the same.
  func append(_ commit: borrowing Commit, state: () -> [UInt8]) throws(StoreError)

  /// Copies whole records from `position` on into `buffer`, in order: the payload of a `RecordBatch`.
  ///
  /// Checks every record's checksum and sequence. Returns `.end` if `position` is at or past `min(end, nextSequence)`.
  func read(from position: ReadPosition, before end: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StoreError) -> ReadResult

  /// The records that were received in `times` (Unix ns), as ascending, non-empty ranges of sequences: at most one for each stretch of time, since
  /// time ascends within a stretch.
  func received(in times: Range<UInt64>) throws(StoreError) -> [Range<UInt64>]

  /// The next records of `range` that may match a filter: from its start, or from its end if `backwards`.
  ///
  /// The records that are skipped do not match. The returned ones may not match either: the store could not rule them out. An empty result means
  /// that nothing up to its position matches. It may stop before the other bound of `range`, so that no call takes long: ask again from there.
  ///
  /// - Parameters:
  ///   - range: not empty, and durable.
  ///   - terms: what the filter requires of a record.
  ///   - backwards: whether to search from the end of `range`.
  func candidates(in range: Range<UInt64>, for terms: SearchTerms, backwards: Bool) throws(StoreError) -> CandidateStretch

  /// Size and condition, for health and metrics.
  var status: StoreStatus { get }

  /// The evidence; `nil` if the store keeps none.
  var evidence: (any EvidenceStore)? { get }

  /// Ends appending in good order and closes the store. Reads fail afterwards.
  func close() throws(StoreError)
}

extension RecordStore {
  public var evidence: (any EvidenceStore)? { nil }

  /// The first sequence whose record was received at `time` (Unix ns) or later; `nextSequence` if there is none.
  public func sequence(receivedAtOrAfter time: UInt64) throws(StoreError) -> UInt64 {
    try received(in: time..<max(time, .max)).first?.lowerBound ?? nextSequence
  }

  public func prepare(_ commit: borrowing Commit) throws(StoreError) -> (any Sendable)? { nil }

  /// A store without a search index rules nothing out.
  public func candidates(in range: Range<UInt64>, for terms: SearchTerms, backwards: Bool) throws(StoreError) -> CandidateStretch {
    CandidateStretch(start: ReadPosition(sequence: range.lowerBound), end: range.upperBound)
  }
}

/// Consecutive records, some of which may match a filter.
public struct CandidateStretch: Sendable {
  /// Sequence of the first.
  public var start: ReadPosition
  /// Sequence after the last.
  public var end: UInt64
  /// Maximum bytes to read for them, if the store knows.
  public var bytes: UInt64?

  public init(start: ReadPosition, end: UInt64, bytes: UInt64? = nil) {
    self.start = start
    self.end = end
    self.bytes = bytes
  }

  public var isEmpty: Bool { start.sequence >= end }
}

/// The state of a store when it was opened.
public struct LogStart: Sendable {
  /// 16 random bytes that name the log.
  public var logID: [UInt8]
  /// The first sequence that can be read.
  public var firstSequence: UInt64
  public var nextSequence: UInt64
  /// `received_at` of the last record; 0 when there is none.
  public var lastReceivedAt: UInt64
  /// The newest stored state of the sequencer (empty: none), and the sequence that it is valid for. The sequencer replays the records from there
  /// on, at most one segment.
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
  /// Whether it begins a new stretch of time, because the machine's clock was set back. Its time may then be any greater than 0.
  public let stepsBack: Bool
  /// The encoded records, each with the tag and length of `RecordBatch.records`. Valid only during the call.
  public let bytes: UnsafeRawBufferPointer
  /// The value that the store's `prepare` returned for this commit.
  public var preparation: (any Sendable)?

  public init(firstSequence: UInt64, count: Int, receivedAt: UInt64, stepsBack: Bool = false, bytes: UnsafeRawBufferPointer) {
    self.firstSequence = firstSequence
    self.count = count
    self.receivedAt = receivedAt
    self.stepsBack = stepsBack
    self.bytes = bytes
  }
}

/// A position to read from. One that `read` returned also knows its place on disk, so that reading on needs no search.
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
  /// There is no record at this position yet.
  case end
  /// The next record needs a buffer of this many bytes.
  case bufferTooSmall(neededBytes: Int)
}

public struct StoreStatus: Sendable {
  /// Bytes of all segments.
  public var bytes: UInt64 = 0
  public var segments: Int = 0
  /// Bytes that recovery cut from the torn end when the store was opened, and the file that keeps them.
  public var tornBytes: UInt64 = 0
  public var tornFile: String?
  /// Why appends are refused: `.full` while there is no room, `.failed` for good; `nil` while they are taken.
  public var appendFailure: StoreError?
  public var scrub = ScrubStatus()
  /// Durations of the syncs of commits.
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
    /// The commit could not be read back: a fault of the caller. Nothing was stored.
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
