import Foundation

/// The configuration file: `name = value` lines. `#` begins a comment, unless it stands in quotes; quotes around a value are not part of it.
package enum SettingFile {
  struct Line: Sendable {
    var value: String
    /// Counted from 1.
    var number: Int
  }

  /// - Throws: for a file that cannot be read, a line of another form, a name that no setting has, and one that stands there twice.
  static func read(_ path: String) throws(SettingError) -> [String: Line] {
    let text: String
    do { text = try String(contentsOfFile: path, encoding: .utf8) } catch {
      throw SettingError("cannot read the configuration file \(path): \(error.localizedDescription)")
    }
    var found: [String: Line] = [:]
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let content = withoutComment(line).trimmingCharacters(in: .whitespaces)
      guard !content.isEmpty else { continue }
      let parts = content.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map {
        $0.trimmingCharacters(in: .whitespaces)
      }
      guard parts.count == 2 else { throw SettingError("\(path):\(index + 1): \"\(content)\" is not of the form name = value") }
      let names = Settings.all.map(\.name)
      guard names.contains(parts[0]) else {
        let hint = Spelling.nearest(to: parts[0], among: names).map { "did you mean \($0)?" } ?? "`hubaudit config show` lists them"
        throw SettingError("\(path):\(index + 1): there is no setting \"\(parts[0])\"; \(hint)")
      }
      if let first = found[parts[0]] {
        throw SettingError("\(path):\(index + 1): \(parts[0]) was set in line \(first.number) already; keep one of the two")
      }
      found[parts[0]] = Line(value: parts[1].trimmingCharacters(in: CharacterSet(charactersIn: "\"")), number: index + 1)
    }
    return found
  }

  /// A setting as a line of the file.
  package static func line(_ name: String, _ text: String) -> String {
    let needsQuotes = text.isEmpty || text.contains("#") || text.first == " " || text.last == " "
    return "\(name) = \(needsQuotes ? "\"\(text)\"" : text)"
  }

  /// What stands before a `#` that is in no quotes.
  private static func withoutComment(_ line: Substring) -> Substring {
    var isQuoted = false
    for index in line.indices {
      if line[index] == "\"" { isQuoted.toggle() }
      if line[index] == "#", !isQuoted { return line[..<index] }
    }
    return line
  }
}
