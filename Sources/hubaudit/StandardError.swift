import Foundation

enum StandardError {
  /// Writes text in which only the line end at its end, and a carriage return at its beginning, have power over a terminal.
  static func write(_ text: String) {
    var content = text[...]
    let start = content.hasPrefix("\r") ? "\r" : ""
    if !start.isEmpty { content = content.dropFirst() }
    let end = content.hasSuffix("\n") ? "\n" : ""
    if !end.isEmpty { content = content.dropLast() }
    put(start + TerminalText.escaped(String(content)) + end)
  }

  /// Clears the line that says how far something is.
  static func clearLine() { put("\r\u{1B}[K") }

  private static func put(_ text: String) { try? FileHandle.standardError.write(contentsOf: Data(text.utf8)) }
}
