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

/// Writes a search index: takes a segment's records in order, and writes a filter whenever a block is full. One block's values and the
/// places of all blocks are in memory. It is never synced: its checksums are enough, as it can be made again.
final class SearchIndexWriter {
  private static let bufferBytes = 256 << 10

  private let file: any File
  private let subject: SearchIndex.Subject
  private let configuration: SegmentStoreConfiguration
  /// The table so far, without the block under way.
  private var table: [UInt8] = []
  private var block: (sequence: UInt64, offset: UInt64)?
  private var hashes: Set<UInt64> = []
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
    self.configuration = configuration
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
    // All records of a commit have its time, and no other has: a mark stands before the first.
    let place = framing.receivedAt == lastReceivedAt ? offset : offset - UInt64(SegmentMark.encodedBytes)
    lastReceivedAt = framing.receivedAt
    if let block, place - block.offset >= configuration.searchBlockBytes { try endBlock() }
    if block == nil { block = (framing.sequence, place) }
    // One more than the limit stays, and says that there were too many.
    SearchTerms.forEach(of: UnsafeRawBufferPointer(rebasing: record[framing.contentStart..<framing.totalBytes])) { hash in
      if hashes.count <= configuration.searchValuesPerBlock { hashes.insert(hash) }
    }
  }

  private func endBlock() throws(FileSystemError) {
    guard let block else { return }
    let isFiltered = !hashes.isEmpty && hashes.count <= configuration.searchValuesPerBlock
    let filter = isFiltered ? BloomFilter.encoded(hashes, bitsPerValue: configuration.searchBitsPerValue) : []
    buffer += filter
    table += SearchIndex.littleEndian(block.sequence) + SearchIndex.littleEndian(block.offset)
    table += SearchIndex.littleEndian(UInt32(filter.count))
    table += SearchIndex.littleEndian(filter.withUnsafeBytes { caudit_crc32c(0, $0.baseAddress, $0.count) })
    self.block = nil
    hashes.removeAll(keepingCapacity: true)
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
      try endBlock()
      let count = SearchIndex.littleEndian(UInt32(table.count / SearchIndex.blockBytes))
      buffer += table + count
      buffer += SearchIndex.littleEndian(SearchIndex.checksum(subject.encoded, table, count[...]))
      try flush()
    } catch { throw Self.failed(error) }
  }
}
