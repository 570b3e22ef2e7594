import AuditLog
import AuditSchema
import CAuditDigest

/// A search index that is to be made.
struct SearchIndexBuild {
  var segment: OpenSegment
  var bytes: UInt64
  /// The sequence after the segment's last record.
  var nextSequence: UInt64
  var subject: SearchIndex.Subject
  /// Where it is written, until it is whole.
  var path: String
  /// How many erasures there were before it was begun.
  var erasures: UInt64
}

/// The values of a block's records, from which its filter is made.
struct SearchBlock {
  private let configuration: SegmentStoreConfiguration
  private var start: (sequence: UInt64, offset: UInt64)?
  private var hashes: Set<UInt64> = []

  init(_ configuration: SegmentStoreConfiguration) { self.configuration = configuration }

  /// Takes the next record in.
  ///
  /// - Parameters:
  ///   - record: the bytes of a `Record`, without tag and length.
  ///   - offset: where the record, or the commit header before it where it is the first of its commit, begins in the segment.
  /// - Returns: the block before this record, which was full.
  mutating func add(
    _ record: UnsafeRawBufferPointer, sequence: UInt64, at offset: UInt64
  ) -> (sequence: UInt64, offset: UInt64, filter: [UInt8])? {
    let full = start.flatMap { offset - $0.offset >= configuration.searchBlockBytes ? finish() : nil }
    if start == nil { start = (sequence, offset) }
    // One more than the limit stays, and says that there were too many.
    SearchTerms.forEach(of: record) { hash in
      if hashes.count <= configuration.searchValuesPerBlock { hashes.insert(hash) }
    }
    return full
  }

  /// The block as it is, and begins another.
  mutating func finish() -> (sequence: UInt64, offset: UInt64, filter: [UInt8])? {
    guard let block = start else { return nil }
    let isFiltered = !hashes.isEmpty && hashes.count <= configuration.searchValuesPerBlock
    let filter = isFiltered ? BloomFilter.encoded(hashes, bitsPerValue: configuration.searchBitsPerValue) : []
    start = nil
    hashes.removeAll(keepingCapacity: true)
    return (block.sequence, block.offset, filter)
  }
}

/// Writes a search index: takes a segment's records in order, and writes a filter whenever a block is full. One block's values and the
/// places of all blocks are in memory. It is never synced: its checksums are enough, as it can be made again.
final class SearchIndexWriter {
  private static let bufferBytes = 256 << 10

  private let file: any File
  private let subject: SearchIndex.Subject
  /// The table so far, without the block under way.
  private var table: [UInt8] = []
  private var block: SearchBlock
  private var lastReceivedAt: UInt64
  private var buffer: [UInt8]
  private var written: UInt64 = 0

  init(_ build: SearchIndexBuild, _ fileSystem: any FileSystem, _ configuration: SegmentStoreConfiguration) throws(StoreError) {
    do throws(FileSystemError) {
      // Somebody may have removed the indexes with their directory.
      _ = try fileSystem.createDirectory(DataDirectory.parent(of: build.path))
      file = try fileSystem.open(build.path, .createOrEmpty)
    } catch { throw Self.failed(error) }
    subject = build.subject
    block = SearchBlock(configuration)
    lastReceivedAt = build.segment.header.previousReceivedAt
    buffer = subject.encoded
  }

  static func failed(_ error: FileSystemError) -> StoreError {
    .unusable(error, "searches read the segment; free space on this disk, or check it")
  }

  /// Takes the next record in.
  ///
  /// - Parameter offset: where the record, with its tag and length, begins in the segment.
  func add(_ record: UnsafeRawBufferPointer, _ framing: RecordFraming, at offset: UInt64) throws(FileSystemError) {
    // All records of a commit have its time, and no other has: a commit header stands before the first.
    let place = framing.receivedAt == lastReceivedAt ? offset : offset - UInt64(CommitHeader.encodedBytes)
    lastReceivedAt = framing.receivedAt
    let content = UnsafeRawBufferPointer(rebasing: record[framing.contentStart..<framing.totalBytes])
    if let full = block.add(content, sequence: framing.sequence, at: place) { try write(full) }
  }

  private func write(_ block: (sequence: UInt64, offset: UInt64, filter: [UInt8])) throws(FileSystemError) {
    buffer += block.filter
    table += SearchIndex.littleEndian(block.sequence) + SearchIndex.littleEndian(block.offset)
    table += SearchIndex.littleEndian(UInt32(block.filter.count))
    table += SearchIndex.littleEndian(block.filter.withUnsafeBytes { caudit_crc32c(0, $0.baseAddress, $0.count) })
    if buffer.count >= Self.bufferBytes { try flush() }
  }

  private func flush() throws(FileSystemError) {
    try file.writeFully(buffer, at: written)
    written += UInt64(buffer.count)
    buffer.removeAll(keepingCapacity: true)
  }

  /// Writes what is left. The file is whole then.
  func finish() throws(StoreError) {
    do throws(FileSystemError) {
      if let last = block.finish() { try write(last) }
      let count = SearchIndex.littleEndian(UInt32(table.count / SearchIndex.blockBytes))
      buffer += table + count
      buffer += SearchIndex.littleEndian(SearchIndex.checksum(subject.encoded, table, count[...]))
      try flush()
    } catch { throw Self.failed(error) }
  }
}
