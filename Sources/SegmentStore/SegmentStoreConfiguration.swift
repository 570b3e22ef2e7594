/// The settings of a `SegmentStore`. They may differ from one start to the next.
public struct SegmentStoreConfiguration: Sendable {
  /// A segment that would grow over this many bytes is sealed and the next one begun. A larger one costs a longer start after a crash
  /// (the newest is read whole); a smaller one more files. A single commit may be larger than this and then fills a segment alone.
  public var segmentBytes: UInt64 = 64 << 20
  /// The largest record, with its tag and length, that is taken.
  public var maxRecordBytes: Int = 2 << 20
  /// How much of the file ahead is written with zeros: syncing a commit into written space takes half the time or less, as the file's
  /// size and blocks stay as they are. 0 turns it off. Up to this much of the disk is used in advance.
  public var zeroAheadBytes: Int = 1 << 20
  /// A commit of this many bytes or more brings no zeros with it: it would write more zeros than they save.
  public var smallCommitBytes: Int = 256 << 10
  /// One place in about this many bytes is known to the index: what a seek reads before it finds its record. 24 bytes of memory each
  /// for the newest segment and `cachedIndexes` older ones.
  public var indexSpacingBytes: UInt64 = 64 << 10
  /// Older segments whose files are kept open for readers, and those whose index is kept in memory.
  public var cachedFiles: Int = 64
  public var cachedIndexes: Int = 32
  /// Bytes that are read in a second, at most, to make search indexes of sealed segments; 0: none are made. Those that are there are used.
  public var searchIndexBytesPerSecond: UInt64 = 0
  /// One filter stands for about this many bytes of a segment: what is read to find one record. Smaller ones take more disk.
  public var searchBlockBytes: UInt64 = 32 << 10
  /// Bits of a filter for each different value; 16: about one in a thousand blocks is read in vain.
  public var searchBitsPerValue: Int = 16
  /// A block with more different values than this has no filter, and is always read.
  public var searchValuesPerBlock: Int = 4096
  /// Segments whose search index is kept open: a file and 40 bytes of memory a block for each.
  public var cachedSearchIndexes: Int = 32
  /// The name that the log's signed statements carry, for a new log: kept in `log.json` and never changed.
  public var origin: String?
  /// The directory of the signed checkpoints; `nil`: `checkpoints` in the data directory. Another disk makes them outlive this one.
  public var checkpoints: String?
  /// How often the store looks whether its paths still lead to what it has open; 0: only before what goes by paths.
  public var placeCheckInterval: Duration = .seconds(1)
  /// Bytes that the scrub reads in a second, at most; 0 turns it off.
  public var scrubBytesPerSecond: UInt64 = 0
  /// How long the scrub rests after a round over all sealed segments.
  public var scrubPause: Duration = .seconds(3600)

  public init() {}
}
