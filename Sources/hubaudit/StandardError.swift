import Foundation

enum StandardError {
  /// Writes text with all control characters escaped, except a line end at its end and a carriage return at its beginning.
  static func write(_ text: String) {
    var content = text[...]
    let start = content.hasPrefix("\r") ? "\r" : ""
    if !start.isEmpty { content = content.dropFirst() }
    let end = content.hasSuffix("\n") ? "\n" : ""
    if !end.isEmpty { content = content.dropLast() }
    put(start + TerminalText.escaped(String(content)) + end)
  }

  /// Clears the progress line.
  static func clearLine() { put("\r\u{1B}[K") }

  private static func put(_ text: String) { try? FileHandle.standardError.write(contentsOf: Data(text.utf8)) }
}
