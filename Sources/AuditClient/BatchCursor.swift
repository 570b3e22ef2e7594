import AuditSchema

/// Decodes the records of a received batch one by one, to hold no more than one decoded record.
struct BatchCursor {
  private let batch: [UInt8]
  private var offset = 0
  /// The position after the batch.
  let next: UInt64
  /// The leaf hash of record `next - 1`, if that record is not in the batch.
  let leafHash: [UInt8]?

  init(batch: [UInt8], next: UInt64, leafHash: [UInt8]?) {
    self.batch = batch
    self.next = next
    self.leafHash = leafHash
  }

  var byteCount: Int { batch.count }

  /// The next record; `nil` after the last.
  ///
  /// - Throws: `protocolViolation` for a malformed batch or a damaged record.
  mutating func nextRecord() throws(ClientError) -> Record? {
    while offset < batch.count {
      let start = offset
      let field: (record: [UInt8]?, end: Int)? = batch.withUnsafeBytes { bytes in
        var fields = WireReader(UnsafeRawBufferPointer(rebasing: bytes[start...]))
        guard let field = fields.next() else { return nil }
        return (RecordBatchBytes.isRecord(field) ? Array(field.bytes) : nil, field.end)
      }
      guard let field else {
        throw ClientError(
          .protocolViolation, "the server sent a batch of \(batch.count) bytes that is cut off at byte \(start); is it a hubaudit server?")
      }
      offset += field.end
      // Commit headers lie between the records.
      guard let record = field.record else { continue }
      do {
        return try Record(record)
      } catch {
        throw ClientError(.protocolViolation, "the server sent a malformed record: \(error.message)")
      }
    }
    return nil
  }
}
