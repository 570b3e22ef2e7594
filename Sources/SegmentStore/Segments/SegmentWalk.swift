import AuditSchema

/// Reads a segment commit by commit and trusts nothing: a commit counts only after all of it was checked.
struct SegmentWalk: ~Copyable {
  enum Step {
    case commit(CommitHeader)
    /// The bytes here are not a whole, valid commit. `header` is set if its commit header is valid, so its length is known.
    case invalid(reason: String, header: CommitHeader?)
    case end
  }

  private var window: SegmentWindow
  private let nonce: [UInt8]
  /// Offset of the next commit.
  private(set) var offset: UInt64
  private(set) var nextSequence: UInt64
  private(set) var lastReceivedAt: UInt64
  private(set) var lastCommit: Range<UInt64>?
  private(set) var index: SparseIndex
  /// Called with every intact record and its offset in the file. Its commit may still turn out to be invalid.
  private let visit: ((_ record: UnsafeRawBufferPointer, _ framing: RecordFraming, _ offset: UInt64) -> Void)?

  init(
    _ file: any File, header: SegmentHeader, headerEnd: UInt64, end: UInt64, indexSpacingBytes: UInt64,
    visit: ((_ record: UnsafeRawBufferPointer, _ framing: RecordFraming, _ offset: UInt64) -> Void)? = nil
  ) {
    self.visit = visit
    window = SegmentWindow(file, end: end, windowBytes: 256 << 10)
    nonce = header.nonce
    offset = headerEnd
    nextSequence = header.firstSequence
    lastReceivedAt = header.receivedAfter
    index = SparseIndex(spacingBytes: indexSpacingBytes)
  }

  /// Checks the next commit; if it is valid, moves past it.
  mutating func next() throws(FileSystemError) -> Step {
    guard offset < window.end else { return .end }
    let bytes = try window.bytes(at: offset, needed: CommitHeader.encodedBytes)
    guard let header = CommitHeader(bytes, nonce: nonce, offset: offset) else {
      return .invalid(reason: "there is no valid commit header", header: nil)
    }
    guard header.firstSequence == nextSequence else {
      return .invalid(reason: "the commit begins with record \(header.firstSequence) instead of \(nextSequence)", header: header)
    }
    guard header.receivedAt > lastReceivedAt else {
      return .invalid(reason: "the commit's time \(header.receivedAt) is not after \(lastReceivedAt)", header: header)
    }
    let start = offset + UInt64(CommitHeader.encodedBytes)
    guard UInt64(header.bytes) <= window.end - start else {
      return .invalid(reason: "the commit is incomplete: the file has \(window.end - start) of its \(header.bytes) bytes", header: header)
    }
    let end = start + UInt64(header.bytes)
    var grown = index
    var at = start
    for number in 0..<UInt64(header.count) {
      guard let framing = try intactRecord(at: at, end: end) else {
        return .invalid(reason: "record \(nextSequence + number) at offset \(at) is not intact", header: header)
      }
      guard framing.sequence == nextSequence + number, framing.receivedAt == header.receivedAt else {
        return .invalid(reason: "the record at offset \(at) does not belong to its commit", header: header)
      }
      grown.note(sequence: framing.sequence, offset: number == 0 ? offset : at, receivedAt: header.receivedAt)
      at += UInt64(framing.totalBytes)
    }
    guard at == end, header.count > 0 else {
      return .invalid(
        reason: "the commit's \(header.count) records take \(at - start) bytes, but its header says \(header.bytes)", header: header)
    }
    index = grown
    lastCommit = offset..<end
    offset = end
    nextSequence += UInt64(header.count)
    lastReceivedAt = header.receivedAt
    return .commit(header)
  }

  private mutating func intactRecord(at offset: UInt64, end: UInt64) throws(FileSystemError) -> RecordFraming? {
    guard let framing = RecordFraming(head: try window.bytes(at: offset, needed: RecordFraming.headBytes)),
      UInt64(framing.totalBytes) <= end - offset
    else { return nil }
    let bytes = try window.bytes(at: offset, needed: framing.totalBytes)
    guard framing.isIntact(in: bytes) else { return nil }
    visit?(UnsafeRawBufferPointer(rebasing: bytes[..<framing.totalBytes]), framing, offset)
    return framing
  }
}
