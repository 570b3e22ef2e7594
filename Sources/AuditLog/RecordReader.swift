import AuditSchema

/// Reads a store forwards, a buffer at a time.
package final class RecordReader {
  private let store: any RecordStore
  private var position: ReadPosition
  private var buffer: UnsafeMutableRawBufferPointer

  /// - Parameter bufferBytes: bytes to read at a time; the buffer grows for larger records.
  package init(store: any RecordStore, from sequence: UInt64, bufferBytes: Int = 256 << 10) {
    self.store = store
    position = ReadPosition(sequence: sequence)
    buffer = .allocate(byteCount: bufferBytes, alignment: 16)
  }

  deinit { buffer.deallocate() }

  /// Sequence of the next record.
  package var sequence: UInt64 { position.sequence }

  /// The next records, valid until the next call; `nil` at `end` or at the durable end.
  package func next(before end: UInt64 = .max) throws(StoreError) -> RecordBatchBytes? {
    while true {
      switch try store.read(from: position, before: end, into: buffer) {
      case .end: return nil
      case .bufferTooSmall(let neededBytes):
        buffer.deallocate()
        buffer = .allocate(byteCount: neededBytes, alignment: 16)
      case .records(let range, _, let next):
        position = next
        return RecordBatchBytes(UnsafeRawBufferPointer(rebasing: buffer[range]))
      }
    }
  }
}
