import AuditLog
import AuditSchema
import CAuditDigest

/// The search index of a sealed segment: one Bloom filter per block tells which values its records cannot contain. FORMAT.md has the
/// layout.
///
/// The block table is in memory; filters are read when a search needs them.
final class SearchIndex: Sendable {
  /// The segment that an index was built from. The tree hash identifies its records: an older copy of the log that continued differently
  /// may have a segment of the same name and size.
  struct Subject: Equatable {
    var firstSequence: UInt64
    var bytes: UInt64
    var nonce: [UInt8]
    /// SHA-256 of the field `tree` in the next segment's header.
    var treeHash: [UInt8]

    init(_ header: SegmentHeader, bytes: UInt64, next: SegmentHeader) {
      firstSequence = header.firstSequence
      self.bytes = bytes
      nonce = header.nonce
      treeHash = SHA256.hash(next.tree)
    }

    var encoded: [UInt8] {
      SearchIndex.magic + SearchIndex.littleEndian(firstSequence) + SearchIndex.littleEndian(bytes) + nonce + treeHash
    }
  }

  struct Block: Equatable {
    var sequence: UInt64
    /// Offset of the first record of the block, or of the commit header before it.
    var offset: UInt64
    /// Byte range of the filter in the file.
    var filter: Range<UInt64>
    /// CRC-32C of the filter.
    var checksum: UInt32
  }

  /// The file is damaged or stale.
  struct Damage: Error { var reason: String }

  static let magic: [UInt8] = Array("hubaudb2".utf8)
  static let headBytes = 8 + 8 + 8 + 16 + 32
  static let blockBytes = 24
  static let trailerBytes = 8
  /// Size limit of a filter, bytes.
  static let maxFilterBytes: UInt64 = 1 << 20

  let blocks: [Block]
  fileprivate let file: any File

  /// Reads and checks the head and the block table.
  ///
  /// - Throws: `Damage` when the file is incomplete or is not an index of `subject`.
  init(_ file: any File, of subject: Subject) throws {
    let size = try file.size()
    let trailer = size < UInt64(Self.headBytes + Self.trailerBytes) ? [] : try file.readBytes(at: size - 8, count: 8)
    guard trailer.count == 8 else { throw Damage(reason: "it is truncated") }
    let count = UInt64(Self.number(trailer, 0))
    let tableBytes = count * UInt64(Self.blockBytes)
    guard tableBytes <= size - UInt64(Self.headBytes + Self.trailerBytes) else { throw Damage(reason: "it is truncated") }
    let head = try file.readBytes(at: 0, count: Self.headBytes)
    guard head == subject.encoded else { throw Damage(reason: "it belongs to another segment") }
    let tableStart = size - UInt64(Self.trailerBytes) - tableBytes
    let table = try file.readBytes(at: tableStart, count: Int(tableBytes))
    guard Self.checksum(head, table, trailer.prefix(4)) == Self.number(trailer, 4) else {
      throw Damage(reason: "its checksum does not match")
    }
    var filterStart = UInt64(Self.headBytes)
    blocks = table.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count, by: Self.blockBytes).map { at in
        func number<Number: FixedWidthInteger>(_ offset: Int, _: Number.Type) -> Number {
          Number(littleEndian: bytes.loadUnaligned(fromByteOffset: at + offset, as: Number.self))
        }
        let end = filterStart + UInt64(number(16, UInt32.self))
        defer { filterStart = end }
        return Block(
          sequence: number(0, UInt64.self), offset: number(8, UInt64.self), filter: filterStart..<end, checksum: number(20, UInt32.self))
      }
    }
    guard filterStart == tableStart, blocks.first?.sequence == subject.firstSequence, Self.areInOrder(blocks, subject.bytes) else {
      throw Damage(reason: "its block table is inconsistent")
    }
    self.file = file
  }

  private static func areInOrder(_ blocks: [Block], _ segmentBytes: UInt64) -> Bool {
    zip(blocks, blocks.dropFirst()).allSatisfy { $0.sequence < $1.sequence && $0.offset < $1.offset }
      && blocks.allSatisfy { $0.offset < segmentBytes && $0.filter.upperBound - $0.filter.lowerBound <= maxFilterBytes }
  }

  /// The first run of adjacent blocks that may all contain a match, among the blocks with records of `sequences`; the last run if
  /// `backwards`; `nil` if there is none.
  ///
  /// - Parameter sequences: records of this segment.
  /// - Throws: `Damage` when a filter does not match its checksum.
  func candidates(in sequences: Range<UInt64>, for terms: SearchTerms, backwards: Bool) throws -> Range<Int>? {
    var window = FilterWindow(self)
    return try Self.candidates(among: blocks, holding: sequences, for: terms, backwards: backwards) {
      try window.filter(of: $0, in: blocks, backwards: backwards)
    }
  }

  private static func lastBlock(of blocks: [Block], atOrBefore sequence: UInt64) -> Int {
    var low = 0
    var high = blocks.count
    while low < high {
      let middle = (low + high) / 2
      if blocks[middle].sequence <= sequence { low = middle + 1 } else { high = middle }
    }
    return max(0, low - 1)
  }

  /// - Parameter filter: returns the filter of a block; valid until the next call.
  static func candidates(
    among blocks: [Block], holding sequences: Range<UInt64>, for terms: SearchTerms, backwards: Bool,
    filter: (Int) throws -> UnsafeRawBufferPointer
  ) rethrows -> Range<Int>? {
    let range = lastBlock(of: blocks, atOrBefore: sequences.lowerBound)..<lastBlock(of: blocks, atOrBefore: sequences.upperBound - 1) + 1
    var found: Range<Int>?
    var index = backwards ? range.upperBound - 1 : range.lowerBound
    while range.contains(index) {
      let filter = try filter(index)
      if terms.groups.allSatisfy({ $0.contains { BloomFilter.mayHold($0, filter) } }) {
        found = found.map { min($0.lowerBound, index)..<max($0.upperBound, index + 1) } ?? index..<index + 1
      } else if found != nil {
        break
      }
      index += backwards ? -1 : 1
    }
    return found
  }

  static func checksum(_ head: [UInt8], _ table: [UInt8], _ count: ArraySlice<UInt8>) -> UInt32 {
    [head[...], table[...], count].reduce(0) { checksum, part in
      part.withUnsafeBytes { caudit_crc32c(checksum, $0.baseAddress, $0.count) }
    }
  }

  static func littleEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { Array($0) }
  }

  private static func number(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
    bytes.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
  }
}

/// Reads adjacent filters together, twice as many bytes with each read up to a limit.
struct FilterWindow: ~Copyable {
  private static let firstBytes: UInt64 = 4 << 10
  private static let lastBytes: UInt64 = 64 << 10

  private let file: any File
  private var wantedBytes = firstBytes
  private var held = 0..<0
  private var start: UInt64 = 0
  private var buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(firstBytes), alignment: 16)

  init(_ index: SearchIndex) { file = index.file }

  deinit { buffer.deallocate() }

  /// Valid until the next call.
  mutating func filter(of index: Int, in blocks: [SearchIndex.Block], backwards: Bool) throws -> UnsafeRawBufferPointer {
    if !held.contains(index) { try read(index, in: blocks, backwards: backwards) }
    let range = blocks[index].filter
    let filter = UnsafeRawBufferPointer(rebasing: buffer[Int(range.lowerBound - start)..<Int(range.upperBound - start)])
    guard filter.count % BloomFilter.blockBytes == 0, caudit_crc32c(0, filter.baseAddress, filter.count) == blocks[index].checksum else {
      throw SearchIndex.Damage(reason: "the filter of the block at record \(blocks[index].sequence) is not intact")
    }
    return filter
  }

  private mutating func read(_ index: Int, in blocks: [SearchIndex.Block], backwards: Bool) throws {
    held = index..<index + 1
    func bytes(_ range: Range<Int>) -> UInt64 {
      blocks[range.upperBound - 1].filter.upperBound - blocks[range.lowerBound].filter.lowerBound
    }
    while true {
      let more = backwards ? held.lowerBound - 1..<held.upperBound : held.lowerBound..<held.upperBound + 1
      guard blocks.indices.contains(more.lowerBound), more.upperBound <= blocks.count, bytes(more) <= wantedBytes else { break }
      held = more
    }
    wantedBytes = min(2 * wantedBytes, Self.lastBytes)
    start = blocks[held.lowerBound].filter.lowerBound
    let count = Int(bytes(held))
    if count > buffer.count {
      buffer.deallocate()
      buffer = .allocate(byteCount: max(count, Int(Self.lastBytes)), alignment: 16)
    }
    guard try file.readFully(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), at: start) == count else {
      throw SearchIndex.Damage(reason: "its filters are truncated")
    }
  }
}
