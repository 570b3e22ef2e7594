/// Settings of a `SegmentStore`. They may change between starts.
public struct SegmentStoreConfiguration: Sendable {
  /// Size limit of a segment, bytes. A commit that would exceed it begins the next segment. A larger limit makes the start after a crash
  /// slower, as the newest segment is read whole; a smaller one makes more files. A single commit larger than this gets a segment of its
  /// own.
  public var segmentBytes: UInt64 = 64 << 20
  /// Size limit of a record with its tag and length, bytes.
  public var maxRecordBytes: Int = 2 << 20
  /// Zeros written ahead of the commits, bytes. A sync into written space takes half the time or less, as size and blocks of the file do
  /// not change. Uses this much disk in advance. 0 turns it off.
  public var zeroAheadBytes: Int = 1 << 20
  /// A commit of at least this many bytes writes no zeros ahead: they would cost more than they save.
  public var smallCommitBytes: Int = 256 << 10
  /// Distance between two places in the sparse index, bytes: the most that a seek reads before its record. Each place takes 24 bytes of
  /// memory, for the newest segment and `cachedIndexes` older ones.
  public var indexSpacingBytes: UInt64 = 64 << 10
  /// Sealed segments kept open for reading.
  public var cachedFiles: Int = 64
  /// Sealed segments whose sparse index is kept in memory.
  public var cachedIndexes: Int = 32
  /// Read rate limit for building search indexes of sealed segments, bytes per second. 0 builds none; existing ones are still used.
  public var searchIndexBytesPerSecond: UInt64 = 0
  /// Segment bytes that one filter covers: what is read to find one record. Smaller blocks take more disk for filters.
  public var searchBlockBytes: UInt64 = 32 << 10
  /// Filter bits per different value. With 16, about one block in a thousand is read in vain.
  public var searchBitsPerValue: Int = 16
  /// A block with more different values than this gets no filter and is always read.
  public var searchValuesPerBlock: Int = 4096
  /// Search indexes kept open. Each takes one descriptor and 40 bytes of memory per block.
  public var cachedSearchIndexes: Int = 32
  /// Origin line of the checkpoints, for a new log. It is stored in `log.json` and never changes.
  public var origin: String?
  /// Directory for the signed checkpoints; `nil`: `checkpoints` in the data directory. On another disk they survive the loss of this one.
  public var checkpoints: String?
  /// How often to check that the paths still lead to the open files. 0: only before an operation by path.
  public var placeCheckInterval: Duration = .seconds(1)
  /// Read rate limit of the scrub, bytes per second. 0 turns it off.
  public var scrubBytesPerSecond: UInt64 = 0
  /// Pause between full scrubs.
  public var scrubPause: Duration = .seconds(3600)

  public init() {}
}
