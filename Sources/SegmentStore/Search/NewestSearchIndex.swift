import AuditLog
import AuditSchema
import Synchronization

/// The search index of the newest segment, in memory; its file is built once the segment is sealed. It covers the records up to `end`; a
/// search reads the later ones.
///
/// Takes a few per cent of the segment's bytes: at most `searchBitsPerValue` × `searchValuesPerBlock` bits per block.
struct NewestSearchIndex: Sendable {
  let firstSequence: UInt64
  /// Full blocks. `filter` is a range of `filters`.
  private(set) var blocks: [SearchIndex.Block] = []
  private var filters: [UInt8] = []
  /// Position after the last full block.
  private(set) var end: ReadPosition

  init(_ firstSequence: UInt64) {
    self.firstSequence = firstSequence
    end = ReadPosition(sequence: firstSequence)
  }

  mutating func append(_ block: (sequence: UInt64, offset: UInt64, filter: [UInt8]), end: ReadPosition) {
    let start = UInt64(filters.count)
    filters += block.filter
    blocks.append(
      SearchIndex.Block(sequence: block.sequence, offset: block.offset, filter: start..<UInt64(filters.count), checksum: 0))
    self.end = end
  }

  func candidates(in sequences: Range<UInt64>, for terms: SearchTerms, backwards: Bool) -> Range<Int>? {
    filters.withUnsafeBytes { filters in
      SearchIndex.candidates(among: blocks, holding: sequences, for: terms, backwards: backwards) { index in
        let range = blocks[index].filter
        return UnsafeRawBufferPointer(rebasing: filters[Int(range.lowerBound)..<Int(range.upperBound)])
      }
    }
  }
}

/// Builds the index of the newest segment; each step continues where the last one stopped.
final class NewestSearchIndexer {
  private let configuration: SegmentStoreConfiguration
  private(set) var index: NewestSearchIndex
  /// Number of erasures when the build began. A record read before a later erasure may be the erased one.
  let erasures: UInt64
  private var block: SearchBlock
  private var position: ReadPosition
  private var buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)

  init(_ firstSequence: UInt64, erasures: UInt64, _ configuration: SegmentStoreConfiguration) {
    self.configuration = configuration
    self.erasures = erasures
    index = NewestSearchIndex(firstSequence)
    block = SearchBlock(configuration)
    position = ReadPosition(sequence: firstSequence)
  }

  deinit { buffer.deallocate() }

  /// Adds the next records of the segment.
  ///
  /// - Parameter next: the sequence after the last record to add.
  /// - Returns: the number of bytes read; 0 at the end, or when the segment is no longer the newest.
  func step(_ store: SegmentStore, before next: UInt64) throws(StoreError) -> Int {
    guard position.sequence < next else { return 0 }
    var result = try store.read(from: position, before: next, into: buffer)
    if case .bufferTooSmall(let needed) = result {
      buffer.deallocate()
      buffer = .allocate(byteCount: needed, alignment: 16)
      result = try store.read(from: position, before: next, into: buffer)
    }
    guard case .records(let range, _, let after) = result, after.segment == index.firstSequence else { return 0 }
    let base = after.offset - UInt64(range.count)
    var fields = WireReader(UnsafeRawBufferPointer(rebasing: buffer[range]))
    var sequence = position.sequence
    var commitHeader: Int?
    while let field = fields.next() {
      guard RecordBatchBytes.isRecord(field) else {
        commitHeader = field.start
        continue
      }
      let offset = base + UInt64(commitHeader ?? field.start)
      if let full = block.add(field.bytes, sequence: sequence, at: offset) {
        index.append(full, end: ReadPosition(sequence: sequence, segment: index.firstSequence, offset: offset))
      }
      commitHeader = nil
      sequence += 1
    }
    position = after
    return range.count
  }
}
