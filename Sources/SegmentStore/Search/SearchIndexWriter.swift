import AuditLog
import AuditSchema
import CAuditDigest

/// A search index to build.
struct SearchIndexBuild {
  var segment: OpenSegment
  var bytes: UInt64
  /// The sequence after the last record of the segment.
  var nextSequence: UInt64
  var subject: SearchIndex.Subject
  /// Path of the temporary file.
  var path: String
  /// Number of erasures when the build began.
  var erasures: UInt64
}

/// The hashed values of the records in one block, from which its filter is built.
struct SearchBlock {
  private let configuration: SegmentStoreConfiguration
  private var start: (sequence: UInt64, offset: UInt64)?
  private var hashes: Set<UInt64> = []

  init(_ configuration: SegmentStoreConfiguration) { self.configuration = configuration }

  /// Adds the next record.
  ///
  /// - Parameters:
  ///   - record: the bytes of a `Record`, without tag and length.
  ///   - offset: offset in the segment of the record; for the first record of a commit, of the commit header.
  /// - Returns: the previous block, if it was full.
  mutating func add(
    _ record: UnsafeRawBufferPointer, sequence: UInt64, at offset: UInt64
  ) -> (sequence: UInt64, offset: UInt64, filter: [UInt8])? {
    let full = start.flatMap { offset - $0.offset >= configuration.searchBlockBytes ? finish() : nil }
    if start == nil { start = (sequence, offset) }
    // The set keeps at most one value over the limit, which shows that there are too many.
    SearchTerms.forEach(of: record) { hash in
      if hashes.count <= configuration.searchValuesPerBlock { hashes.insert(hash) }
    }
    return full
  }

  /// Ends the block and returns it; `nil` if it has no record.
  mutating func finish() -> (sequence: UInt64, offset: UInt64, filter: [UInt8])? {
    guard let block = start else { return nil }
    let isFiltered = !hashes.isEmpty && hashes.count <= configuration.searchValuesPerBlock
    let filter = isFiltered ? BloomFilter.encoded(hashes, bitsPerValue: configuration.searchBitsPerValue) : []
    start = nil
    hashes.removeAll(keepingCapacity: true)
    return (block.sequence, block.offset, filter)
  }
}

/// Writes a search index from the records of a segment, in order; each full block adds a filter. In memory are the values of one block and
/// the table of all blocks. The file is never synced: checksums detect a lost write, and the index can be rebuilt.
final class SearchIndexWriter {
  private static let bufferBytes = 256 << 10

  private let file: any File
  private let subject: SearchIndex.Subject
  /// Encoded table of the finished blocks.
  private var table: [UInt8] = []
  private var block: SearchBlock
  private var lastReceivedAt: UInt64
  private var buffer: [UInt8]
  private var written: UInt64 = 0

  init(_ build: SearchIndexBuild, _ fileSystem: any FileSystem, _ configuration: SegmentStoreConfiguration) throws(StoreError) {
    do throws(FileSystemError) {
      // The operator may have deleted the directory.
      _ = try fileSystem.createDirectory(DataDirectory.parent(of: build.path))
      file = try fileSystem.open(build.path, .createOrEmpty)
    } catch { throw Self.failed(error) }
    subject = build.subject
    block = SearchBlock(configuration)
    lastReceivedAt = build.segment.header.previousReceivedAt
    buffer = subject.encoded
  }

  static func failed(_ error: FileSystemError) -> StoreError {
    .unusable(error, "searches read the whole segment meanwhile; free space on this disk, or check it")
  }

  /// Adds the next record.
  ///
  /// - Parameter offset: offset of the record's tag in the segment.
  func add(_ record: UnsafeRawBufferPointer, _ framing: RecordFraming, at offset: UInt64) throws(FileSystemError) {
    // Times differ between commits and are equal within one. So a new time means the first record of a commit, with a commit header before
    // it.
    let start = framing.receivedAt == lastReceivedAt ? offset : offset - UInt64(CommitHeader.encodedBytes)
    lastReceivedAt = framing.receivedAt
    let content = UnsafeRawBufferPointer(rebasing: record[framing.contentStart..<framing.totalBytes])
    if let full = block.add(content, sequence: framing.sequence, at: start) { try write(full) }
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

  /// Writes the last block, the table and the checksum.
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
