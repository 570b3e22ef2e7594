/// Renders records one after the other, in memory that is made once: address space of 64 MiB, of which each record takes what it needs. For
/// one thread at a time.
public final class RecordRenderer {
  private let arena = DecodeArena(limitBytes: 64 << 20)
  private let scratch = TextBuffer()

  public init() {}

  /// What `Record.json` returns.
  ///
  /// - Throws: when the body is not one of this schema.
  public func json(of record: Record) throws(RequestError) -> [UInt8]? {
    scratch.removeAll()
    return try append(jsonOf: record, to: scratch) ? Array(scratch.bytes) : nil
  }

  /// - Returns: false, and nothing is appended, when the body was erased.
  package func append(jsonOf record: Record, to out: TextBuffer) throws(RequestError) -> Bool {
    try record.encoded.withUnsafeBufferPointer { (bytes) throws(RequestError) in
      try append(bodyOf: record, in: UnsafeRawBufferPointer(bytes), .asSent, to: out) != nil
    }
  }

  /// {"at":…,"body_sha256":…,"hub":…,"kind":…,…,"record":{…},"sequence":…} and a line's end, rendered straight from the record's bytes. The
  /// body's hash ties the line to the record's header, and so to its receipt.
  ///
  /// - Throws: when the body is not one of this schema. What was written until then is no line.
  package func append(lineOf record: Record, to out: TextBuffer, isForTerminal: Bool) throws(RequestError) {
    let places = record.places
    var hasUnknown = places.hasUnknownHeaderFields
    var object = ObjectWriter(appendingTo: out)
    try record.encoded.withUnsafeBufferPointer { (bytes) throws(RequestError) in
      let bytes = UnsafeRawBufferPointer(bytes)
      object.text("at", places.at.bytes(in: bytes))
      object.hex("body_sha256", places.bodySHA256.bytes(in: bytes) ?? .empty)
      object.text("hub", places.hub.bytes(in: bytes) ?? .empty)
      object.text("kind", places.kind.bytes(in: bytes))
      if let producer = places.producer.bytes(in: bytes) { object.text("producer", producer) }
      if let number = record.producerSequence { object.number("producer_sequence", number) }
      object.time("received_at", record.receivedAt)
      try object.value("record") { (out) throws(RequestError) in
        let before = out.count
        if try append(bodyOf: record, in: bytes, .line(isForTerminal: isForTerminal), to: out) == true { hasUnknown = true }
        if out.count == before { out.append("null") }
      }
      object.number("sequence", record.sequence)
    }
    if hasUnknown, case let unknown = record.unknownFields(), !unknown.isEmpty { object.json("unknown_fields", Self.list(unknown)) }
    object.end()
    out.append(UInt8(ascii: "\n"))
  }

  /// - Returns: `nil`, and nothing is appended, when the body was erased; otherwise whether it may hold fields that the schema does not know.
  private func append(
    bodyOf record: Record, in bytes: UnsafeRawBufferPointer, _ form: JSONForm, to out: TextBuffer
  ) throws(RequestError) -> Bool? {
    guard let body = record.places.body.range else { return nil }
    defer { arena.reset() }
    return try RecordJSON.append(
      body: UnsafeRawBufferPointer(rebasing: bytes[body]), kind: record.places.kind.bytes(in: bytes), form, to: out, in: arena)
  }

  /// [{"bytes": …, "message": …, "number": …}]: what a newer hub or server put in, which this version's schema does not know.
  private static func list(_ fields: [UnknownField]) -> [UInt8] {
    let objects = fields.map { field in
      var object = ObjectWriter()
      object.hex("bytes", field.bytes)
      object.literal("message", field.message)
      object.number("number", UInt64(field.number))
      return object.finished()
    }
    return [UInt8(ascii: "[")] + objects.joined(separator: Array(", ".utf8)) + [UInt8(ascii: "]")]
  }

  /// What `Record.unreadableLine` returns.
  ///
  /// - Throws: when the body is not one of this schema.
  public func unreadableLine(of record: Record) throws(RequestError) -> (line: [UInt8], unterminated: Bool)? {
    guard record.kind == "unreadable_line", let body = record.encodedBody else { return nil }
    defer { arena.reset() }
    return try body.withUnsafeBufferPointer { (body) throws(RequestError) in
      try RecordJSON.unreadableLine(body: UnsafeRawBufferPointer(body), in: arena)
    }
  }
}

extension UnsafeBufferPointer<UInt8> {
  fileprivate static var empty: Self { Self(start: nil, count: 0) }
}
