/// An encoded `Record`, read in place. `Record` holds a copy instead.
package struct RecordBytes {
  /// The encoded header: the record's leaf in the tree.
  package let header: UnsafeRawBufferPointer
  /// `nil` if it is erased.
  package let body: UnsafeRawBufferPointer?

  /// - Parameter record: a `Record` without tag and length. The header must come first, as the log writes it.
  /// - Returns: `nil` without a header.
  @inline(__always)
  package init?(_ record: UnsafeRawBufferPointer) {
    var fields = WireReader(record)
    guard let header = fields.next(), header.number == Fields.Record.header.number else { return nil }
    self.header = header.bytes
    guard let body = fields.next(), body.number == Fields.Record.body.number else {
      self.body = nil
      return
    }
    self.body = body.bytes
  }

  /// The sequence, the first field of the header.
  package var sequence: UInt64? {
    var fields = WireReader(header)
    guard let first = fields.next(), first.number == Fields.RecordHeader.sequence.number else { return nil }
    return first.value
  }

  /// The time given by the hub, in UTF-8; `nil` if it gave none, or the body is erased.
  package var at: UnsafeRawBufferPointer? {
    guard let body else { return nil }
    var fields = WireReader(body)
    guard let first = fields.next(), first.number == Fields.RecordBody.at.number else { return nil }
    return first.bytes
  }
}

/// An encoded `RecordHeader`, read in place.
package struct RecordHeaderBytes {
  package private(set) var sequence: UInt64?
  /// Unix ns.
  package private(set) var receivedAt: UInt64 = 0
  package private(set) var hub = Self.nothing
  package private(set) var producer: UnsafeRawBufferPointer?
  package private(set) var producerSequence: UInt64?
  package private(set) var kind: UnsafeRawBufferPointer?
  package private(set) var schemaVersion: UInt64 = 0
  package private(set) var bodySHA256 = Self.nothing
  package private(set) var principal: UnsafeRawBufferPointer?
  /// Whether the whole header is well-formed.
  package private(set) var isWhole = false

  private static var nothing: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

  package init(_ header: UnsafeRawBufferPointer) {
    var fields = WireReader(header)
    while let field = fields.next() {
      switch field.number {
      case Fields.RecordHeader.sequence.number: sequence = field.value
      case Fields.RecordHeader.receivedAt.number: receivedAt = field.value
      case Fields.RecordHeader.hub.number: hub = field.bytes
      case Fields.RecordHeader.producer.number: producer = field.bytes
      case Fields.RecordHeader.producerSequence.number: producerSequence = field.value
      case Fields.RecordHeader.kind.number: kind = field.bytes
      case Fields.RecordHeader.schemaVersion.number: schemaVersion = field.value
      case Fields.RecordHeader.bodySHA256.number: bodySHA256 = field.bytes
      case Fields.RecordHeader.principal.number: principal = field.bytes
      default: break
      }
    }
    isWhole = fields.isAtEnd
  }
}
