/// Renders records one after the other, in memory that is made once: address space of 64 MiB, of which each record takes what it needs. For
/// one thread at a time.
public final class RecordRenderer {
  private let arena = DecodeArena(limitBytes: 64 << 20)

  public init() {}

  /// What `Record.json` returns.
  ///
  /// - Throws: when the body is not one of this schema.
  public func json(of record: Record) throws(SchemaError) -> [UInt8]? {
    var out: [UInt8] = []
    return try append(jsonOf: record, to: &out) ? out : nil
  }

  /// - Returns: false, and nothing is appended, when the body was erased.
  package func append(jsonOf record: Record, to out: inout [UInt8]) throws(SchemaError) -> Bool {
    guard let body = record.encodedBody else { return false }
    defer { arena.reset() }
    try body.withUnsafeBufferPointer { (body) throws(SchemaError) in
      try RecordJSON.append(body: UnsafeRawBufferPointer(body), kind: record.kind, to: &out, in: arena)
    }
    return true
  }

  /// What `Record.unreadableLine` returns.
  ///
  /// - Throws: when the body is not one of this schema.
  public func unreadableLine(of record: Record) throws(SchemaError) -> (line: [UInt8], unterminated: Bool)? {
    guard record.kind == "unreadable_line", let body = record.encodedBody else { return nil }
    defer { arena.reset() }
    return try body.withUnsafeBufferPointer { (body) throws(SchemaError) in
      try RecordJSON.unreadableLine(body: UnsafeRawBufferPointer(body), in: arena)
    }
  }
}
