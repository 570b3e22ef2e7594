/// Renders records as JSON. Reuses its memory: it reserves 64 MiB of address space, of which a record uses what it needs. For one thread at
/// a time.
public final class RecordRenderer {
  private let arena = DecodeArena(limitBytes: 64 << 20)
  private let scratch = TextBuffer()

  public init() {}

  /// The same as `Record.json`.
  ///
  /// - Throws: `RequestError` if the body is malformed.
  public func json(of record: Record) throws(RequestError) -> [UInt8]? {
    scratch.removeAll()
    return try append(jsonOf: record, to: scratch) ? Array(scratch.bytes) : nil
  }

  /// - Returns: `false` if the body is erased; nothing is appended then.
  package func append(jsonOf record: Record, to out: TextBuffer) throws(RequestError) -> Bool {
    try record.encoded.withUnsafeBufferPointer { (bytes) throws(RequestError) in
      try append(bodyOf: record, in: UnsafeRawBufferPointer(bytes), .asSent, to: out) != nil
    }
  }

  /// Appends {"at":…,"body_sha256":…,"hub":…,"kind":…,…,"record":{…},"sequence":…} and a newline. The body's hash links the line to the
  /// record's header, and so to its receipt.
  ///
  /// - Throws: if the body is malformed. `out` then has an incomplete line.
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
      if let principal = places.principal.bytes(in: bytes) { object.text("principal", principal) }
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

  /// - Returns: whether the body may have unknown fields; `nil` if it is erased, and nothing is appended then.
  private func append(
    bodyOf record: Record, in bytes: UnsafeRawBufferPointer, _ form: JSONForm, to out: TextBuffer
  ) throws(RequestError) -> Bool? {
    guard let body = record.places.body.range else { return nil }
    defer { arena.reset() }
    return try RecordJSON.append(
      body: UnsafeRawBufferPointer(rebasing: bytes[body]), kind: record.places.kind.bytes(in: bytes), form, to: out, in: arena)
  }

  /// [{"bytes": …, "message": …, "number": …}]: the fields of a newer hub or server that this schema does not know.
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

  /// The same as `Record.unreadableLine`.
  ///
  /// - Throws: `RequestError` if the body is malformed.
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
