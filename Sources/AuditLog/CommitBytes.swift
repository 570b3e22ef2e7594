import AuditSchema
import MerkleTree
import Synchronization

/// The records of one commit in memory that all subscribers share.
///
/// `@unchecked Sendable`: the writer thread fills it; after it is published it is immutable.
package final class CommitBytes: @unchecked Sendable {
  package let firstSequence: UInt64
  // Exclusivity checks are off, as measured in `EncodedRecords`. Invariant: only the writer thread changes these, before the commit is published.
  @exclusivity(unchecked) package private(set) var recordCount = 0
  @exclusivity(unchecked) package private(set) var byteCount = 0
  private let memory: UnsafeMutableRawPointer
  private let capacity: Int
  /// Computed on first use.
  private let lastLeafHash = Mutex<TreeHash?>(nil)

  /// - Parameter capacity: maximum bytes.
  init(firstSequence: UInt64, capacity: Int) {
    self.firstSequence = firstSequence
    self.capacity = capacity
    memory = .allocate(byteCount: max(1, capacity), alignment: 16)
  }

  deinit { memory.deallocate() }

  func append(_ bytes: UnsafeRawBufferPointer, records: Int) {
    guard let start = bytes.baseAddress else { return }
    precondition(byteCount + bytes.count <= capacity, "a commit grew beyond its buffer")
    (memory + byteCount).copyMemory(from: start, byteCount: bytes.count)
    byteCount += bytes.count
    recordCount += records
  }

  package var nextSequence: UInt64 { firstSequence + UInt64(recordCount) }

  /// The payload of a `RecordBatch` with all records. Valid while this object is alive.
  package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory, count: byteCount) }

  /// The leaf hash of a record; `nil` if it is in another commit. That of the last record is computed once.
  package func leafHash(of sequence: UInt64) -> TreeHash? {
    guard sequence >= firstSequence, sequence < nextSequence else { return nil }
    guard sequence + 1 == nextSequence else { return hash(of: sequence) }
    return lastLeafHash.withLock { known in
      if known == nil { known = hash(of: sequence) }
      return known
    }
  }

  private func hash(of sequence: UInt64) -> TreeHash? {
    var fields = WireReader(UnsafeRawBufferPointer(rebasing: bytes[offset(of: sequence)...]))
    return fields.next().map { TreeHash(leafOfRecord: $0.bytes) }
  }

  /// Offset of the record with this sequence, which must be in the commit or be the one after it.
  package func offset(of sequence: UInt64) -> Int {
    var offset = 0
    var fields = WireReader(bytes)
    for _ in 0..<(sequence - firstSequence) {
      guard let field = fields.next() else { break }
      offset = field.end
    }
    return offset
  }
}

extension TreeHash {
  /// The leaf hash of an encoded `Record`, without tag and length: that of its header.
  package init(leafOfRecord record: UnsafeRawBufferPointer) {
    self = .leaf(RecordBytes(record)?.header ?? record)
  }
}
