/// What is asked for when a record is to be erased: the text of the note that one of the log's keys signs.
package struct RedactionStatement: Sendable, Equatable {
  private static let head = "hubaudit redaction v1"
  /// Bytes of who and why, each at most.
  package static let maxTextBytes = 1024

  package var origin: String
  /// 16 bytes.
  package var logID: [UInt8]
  package var sequence: UInt64
  package var by: String
  package var reason: String

  /// - Throws: `invalidRequest` when a text is empty, too long, or has control characters.
  package init(origin: String, logID: [UInt8], sequence: UInt64, by: String, reason: String) throws(SchemaError) {
    for (name, text) in [("by", by), ("reason", reason)] {
      guard !text.isEmpty, text.utf8.count <= Self.maxTextBytes, !text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
        throw SchemaError(
          .invalidRequest, "\(name) has \(text.utf8.count) bytes or control characters; 1 to \(Self.maxTextBytes) bytes of text are allowed"
        )
      }
    }
    self.origin = origin
    self.logID = logID
    self.sequence = sequence
    self.by = by
    self.reason = reason
  }

  /// The six lines, each ended by a newline.
  package var text: String { "\(Self.head)\n\(origin)\n\(Self.hex(logID))\n\(sequence)\n\(by)\n\(reason)\n" }

  /// Reads what `text` wrote.
  package init(text: String) throws(SchemaError) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.count == 7, lines[6].isEmpty, lines[0] == Self.head, let sequence = UInt64(lines[3]), String(sequence) == lines[3],
      let logID = Self.bytes(hex: lines[2])
    else {
      throw SchemaError(.invalidRequest, "the statement's text is not \"\(Self.head)\", origin, log id, sequence, who and why, a line each")
    }
    try self.init(origin: String(lines[1]), logID: logID, sequence: sequence, by: String(lines[4]), reason: String(lines[5]))
  }

  private static func hex(_ bytes: [UInt8]) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }

  private static func bytes(hex text: some StringProtocol) -> [UInt8]? {
    let digits = text.compactMap(\.hexDigitValue)
    guard digits.count == 32, text.utf8.count == 32 else { return nil }
    return stride(from: 0, to: 32, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
  }
}
