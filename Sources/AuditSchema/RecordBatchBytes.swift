/// The bytes of an encoded `RecordBatch`, looked at in place.
package struct RecordBatchBytes {
  package let bytes: UnsafeRawBufferPointer

  package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// Calls `body` with the bytes of each `Record`, without tag and length, in order. Commit marks are passed over.
  package func forEachRecord<E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> Void) throws(E) {
    var fields = WireReader(bytes)
    while let field = fields.next() {
      if field.number == 1 { try body(field.bytes) }
    }
  }

  /// The same with the range that the record takes in `bytes`, tag and length included.
  package func forEachRange<E: Error>(_ body: (_ record: UnsafeRawBufferPointer, _ range: Range<Int>) throws(E) -> Void) throws(E) {
    var fields = WireReader(bytes)
    while let field = fields.next() {
      if field.number == 1 { try body(field.bytes, field.start..<field.end) }
    }
  }

  /// The sequence in the header of an encoded `Record`.
  package static func sequence(ofRecord record: UnsafeRawBufferPointer) -> UInt64? {
    var fields = WireReader(record)
    guard let header = fields.next(), header.number == 1 else { return nil }
    var parts = WireReader(header.bytes)
    guard let sequence = parts.next(), sequence.number == 1 else { return nil }
    return sequence.value
  }
}
