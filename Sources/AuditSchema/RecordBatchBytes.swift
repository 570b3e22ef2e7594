/// An encoded `RecordBatch`, read in place.
package struct RecordBatchBytes {
  package let bytes: UnsafeRawBufferPointer

  package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// Calls `body` with the bytes of each `Record`, without tag and length, in order. Commit headers are skipped.
  package func forEachRecord<E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> Void) throws(E) {
    var fields = WireReader(bytes)
    while let field = fields.next() {
      if field.number == Fields.RecordBatch.records.number { try body(field.bytes) }
    }
  }

  /// The same, with the record's range in `bytes`, including tag and length.
  package func forEachRange<E: Error>(_ body: (_ record: UnsafeRawBufferPointer, _ range: Range<Int>) throws(E) -> Void) throws(E) {
    var fields = WireReader(bytes)
    while let field = fields.next() {
      if field.number == Fields.RecordBatch.records.number { try body(field.bytes, field.start..<field.end) }
    }
  }

  /// Whether a field of a batch is a record. Otherwise it is a commit header.
  package static func isRecord(_ field: WireReader.Field) -> Bool { field.number == Fields.RecordBatch.records.number }
}
