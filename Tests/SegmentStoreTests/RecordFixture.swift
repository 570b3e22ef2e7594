import CAuditDigest

/// Small valid records, made by hand: the store is tested without the code that makes them in a server.
enum RecordFixture {
  static func delimited(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
    var length = content.count
    var prefix = [tag]
    while length >= 0x80 {
      prefix.append(UInt8(length & 0x7F) | 0x80)
      length >>= 7
    }
    return prefix + [UInt8(length)] + content
  }

  static func littleEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { Array($0) }
  }

  /// A record with its tag and length. Its body is a `RecordBody` whose `at` is `text`; `nil`: an erased one.
  static func record(_ sequence: UInt64, receivedAt: UInt64, text: String? = "2026-01-01T00:00:00Z") -> [UInt8] {
    self.record(sequence, receivedAt: receivedAt, content: text.map { delimited(0x0A, Array($0.utf8)) })
  }

  /// A record whose body has these bytes.
  static func record(_ sequence: UInt64, receivedAt: UInt64, content body: [UInt8]?) -> [UInt8] {
    let header =
      [0x09] + littleEndian(sequence) + [0x11] + littleEndian(receivedAt) + delimited(0x1A, Array("hub".utf8))
      + delimited(0x32, Array("task_terminated".utf8)) + [0x38, 1]
    var content = delimited(0x0A, header)
    if let body { content += delimited(0x12, body) }
    return sealed(content)
  }

  /// A record of these parts, with its checksum, tag and length.
  static func sealed(_ content: [UInt8]) -> [UInt8] {
    delimited(0x0A, content + [0x1D] + littleEndian(caudit_crc32c(0, content, content.count)))
  }

  static func records(_ sequences: Range<UInt64>, receivedAt: UInt64, textBytes: Int = 20) -> [UInt8] {
    sequences.flatMap { sequence in
      record(sequence, receivedAt: receivedAt, text: "\(sequence) " + String(repeating: "x", count: textBytes))
    }
  }
}
