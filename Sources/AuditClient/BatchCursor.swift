import AuditSchema

/// Takes the records of a received batch one by one, so that no more than one is decoded at a time.
struct BatchCursor {
  private let batch: [UInt8]
  private var offset = 0
  /// The position after the batch.
  let next: UInt64
  /// Of record `next - 1`, where that is not the batch's last.
  let leafHash: [UInt8]?

  init(batch: [UInt8], next: UInt64, leafHash: [UInt8]?) {
    self.batch = batch
    self.next = next
    self.leafHash = leafHash
  }

  var byteCount: Int { batch.count }

  /// The next record; `nil` after the last.
  ///
  /// - Throws: `protocolViolation` when the bytes are no batch, or hold a record that is not intact.
  mutating func nextRecord() throws(ClientError) -> Record? {
    while offset < batch.count {
      let start = offset
      let field: (record: [UInt8]?, end: Int)? = batch.withUnsafeBytes { bytes in
        var fields = WireReader(UnsafeRawBufferPointer(rebasing: bytes[start...]))
        guard let field = fields.next() else { return nil }
        return (RecordBatchBytes.isRecord(field) ? Array(field.bytes) : nil, field.end)
      }
      guard let field else {
        throw ClientError(.protocolViolation, "a batch of \(batch.count) bytes is cut short at byte \(start); is this a hubaudit server?")
      }
      offset += field.end
      // Commit headers lie between the records.
      guard let record = field.record else { continue }
      do {
        return try Record(record)
      } catch {
        throw ClientError(.protocolViolation, "the server sent a record that cannot be read: \(error.message)")
      }
    }
    return nil
  }
}
