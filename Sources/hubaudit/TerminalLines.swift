extension TerminalText {
  /// The same for text of several lines.
  static func escapedLines(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { escaped(String($0)) }.joined(separator: "\n")
  }

  /// JSON in which control characters are JSON escapes. It has the same meaning.
  static func escapedJSON(_ json: [UInt8]) -> [UInt8] {
    if json.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) { return json }
    var out = ""
    for scalar in String(decoding: json, as: UTF8.self).unicodeScalars {
      if escaped(String(scalar)).unicodeScalars.first == scalar {
        out.unicodeScalars.append(scalar)
      } else {
        for unit in String(scalar).utf16 {
          let digits = String(unit, radix: 16)
          out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }
      }
    }
    return Array(out.utf8)
  }

  /// A key or value of `key=value`: in quotes when it could be taken for something else.
  static func quotedValue(_ value: String) -> String {
    let isPlain = !value.isEmpty && !value.contains { $0.isWhitespace || "=\"\\".contains($0) }
    if isPlain { return escaped(value) }
    return "\"" + escaped(value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")) + "\""
  }
}
