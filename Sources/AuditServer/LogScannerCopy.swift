import AuditLog
import AuditSchema
import MerkleTree
import NIOCore

/// Reads without a filter: pieces of the log go from the store to the peer without another copy.
extension LogScanner {
  /// Reads from the store straight into the buffer that is sent. Records that the rights do not allow are removed from it.
  func copy(before end: UInt64, maxBytes: Int) throws -> Step {
    let begin = position.sequence
    var needed = max(4096, min(maxBytes, ScanMemory.pieceBytes))
    var looked = 0
    var buffer = allocator.buffer(capacity: needed)
    while true {
      var result: ReadResult?
      do {
        _ = try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: needed) { target in
          result = try store.read(from: position, before: end, into: UnsafeMutableRawBufferPointer(rebasing: target[..<needed]))
          if case .records(let range, _, _) = result { return range.upperBound }
          return 0
        }
      } catch {
        // What was passed over is told first; the next step starts with the error.
        guard position.sequence > begin else { throw error }
        return Step(
          batch: ByteBuffer(), records: 0, next: position.sequence, isAtEnd: false, leafHash: told(before: position.sequence),
          endsWithBatch: false)
      }
      switch result! {
      case .end:
        return Step(
          batch: ByteBuffer(), records: 0, next: position.sequence, isAtEnd: true, leafHash: told(before: position.sequence),
          endsWithBatch: position.sequence == begin)
      case .bufferTooSmall(let more): needed = more
      case .records(let range, let count, let next):
        position = next
        buffer.moveReaderIndex(to: range.lowerBound)
        looked += range.count
        var step = Step(batch: ByteBuffer(), records: UInt64(count), next: next.sequence, isAtEnd: next.sequence >= end)
        let isWhole = buffer.withUnsafeReadableBytes { onlyRights?.allowsAll($0) ?? true }
        if isWhole {
          if step.isAtEnd { step.leafHash = Self.lastLeaf(of: buffer) }
        } else {
          step.leafHash = Self.lastLeaf(of: buffer)
          removeRefused(from: &buffer, &step)
          if step.records == 0, !step.isAtEnd, looked < Self.scanBytes {
            buffer.clear()
            continue
          }
        }
        step.batch = buffer
        return step
      }
    }
  }

  private static func lastLeaf(of batch: ByteBuffer) -> TreeHash? {
    batch.withUnsafeReadableBytes { bytes in
      var last: UnsafeRawBufferPointer?
      RecordBatchBytes(bytes).forEachRecord { last = $0 }
      return last.map { TreeHash(leafOfRecord: $0) }
    }
  }

  /// Keeps the records that the rights allow, and no commit header: those say what was removed. The batch has the memory that it needs, no
  /// more: what waits for a slow peer is counted by its bytes.
  private func removeRefused(from batch: inout ByteBuffer, _ step: inout Step) {
    guard let onlyRights else { return }
    step.records = 0
    let kept = batch.withUnsafeMutableReadableBytes { bytes in
      var kept = 0
      RecordBatchBytes(UnsafeRawBufferPointer(bytes)).forEachRange { record, range in
        step.endsWithBatch = onlyRights.allows(record: record)
        guard step.endsWithBatch else { return }
        // Records move toward the beginning only, so what is still to be read stays as it is.
        UnsafeMutableRawBufferPointer(rebasing: bytes[kept...]).copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[range]))
        kept += range.count
        step.records += 1
      }
      return kept
    }
    batch.moveWriterIndex(to: batch.readerIndex + kept)
    if kept < batch.storageCapacity / 2 {
      var compact = allocator.buffer(capacity: kept)
      compact.writeBuffer(&batch)
      batch = compact
    }
  }
}
