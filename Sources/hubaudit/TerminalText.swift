import AuditSchema

/// Makes untrusted text safe to print.
enum TerminalText {
  /// Control characters, escapes, line separators and characters that change the direction of text become `\u{…}`.
  static func escaped(_ text: String) -> String {
    var out = ""
    for scalar in text.unicodeScalars {
      if TerminalCharacters.isHarmless(scalar) {
        out.unicodeScalars.append(scalar)
      } else {
        out += "\\u{\(String(scalar.value, radix: 16))}"
      }
    }
    return out
  }
}
