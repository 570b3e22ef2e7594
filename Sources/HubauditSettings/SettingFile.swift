import Foundation

/// The configuration file: `name = value` lines, with Unix or Windows line ends. `#` begins a comment. A value in double quotes may hold `#` and
/// spaces at its ends; in it, `\"` is a quote and `\\` a backslash.
package enum SettingFile {
  struct Line: Sendable {
    var value: String
    /// Counted from 1.
    var number: Int
  }

  /// Maximum bytes of the file.
  private static let maxBytes = 1 << 20

  /// - Throws: for a file that cannot be read or is too large, a line of another form, a name that no setting has, and one that stands there twice.
  static func read(_ path: String) throws(SettingError) -> [String: Line] {
    let text: String
    do {
      let file = try FileHandle(forReadingFrom: URL(filePath: path))
      let bytes = try file.read(upToCount: maxBytes + 1) ?? Data()
      guard bytes.count <= maxBytes else {
        throw SettingError("the configuration file \(path) has more than \(maxBytes) bytes; is it the right one?")
      }
      guard let decoded = String(data: bytes, encoding: .utf8) else { throw SettingError("the configuration file \(path) is not UTF-8") }
      text = decoded
    } catch let error as SettingError { throw error } catch {
      throw SettingError("cannot read the configuration file \(path): \(error.localizedDescription)")
    }
    let names = Settings.all.map(\.name)
    var found: [String: Line] = [:]
    for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let content = line.trimmingCharacters(in: .whitespaces)
      guard !content.isEmpty, content.first != "#" else { continue }
      let place = "\(path):\(index + 1)"
      let parts = content.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2, let value = value(parts[1].trimmingCharacters(in: .whitespaces)) else {
        throw SettingError("\(place): \"\(content)\" is not of the form name = value")
      }
      let name = parts[0].trimmingCharacters(in: .whitespaces)
      guard names.contains(name) else {
        let hint = Spelling.nearest(to: name, among: names).map { "did you mean \($0)?" } ?? "`hubaudit config show` lists them"
        throw SettingError("\(place): there is no setting \"\(name)\"; \(hint)")
      }
      if let first = found[name] {
        throw SettingError("\(place): \(name) was set in line \(first.number) already; keep one of the two")
      }
      found[name] = Line(value: value, number: index + 1)
    }
    return found
  }

  /// A setting as a line of the file.
  package static func line(_ name: String, _ text: String) -> String {
    let needsQuotes = text.isEmpty || text.contains("#") || text.contains("\"") || text.first == " " || text.last == " "
    guard needsQuotes else { return "\(name) = \(text)" }
    return "\(name) = \"\(text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\""))\""
  }

  /// The value that a line has behind its `=`, without its comment; `nil` for a quote that is not closed, or has more than a comment behind it.
  private static func value(_ text: String) -> String? {
    guard text.first == "\"" else {
      return text.prefix { $0 != "#" }.trimmingCharacters(in: .whitespaces)
    }
    var value = ""
    var isEscaped = false
    for index in text.indices.dropFirst() {
      let character = text[index]
      if isEscaped {
        value.append(character)
        isEscaped = false
      } else if character == "\\" {
        isEscaped = true
      } else if character == "\"" {
        let rest = text[text.index(after: index)...].trimmingCharacters(in: .whitespaces)
        return rest.isEmpty || rest.first == "#" ? value : nil
      } else {
        value.append(character)
      }
    }
    return nil
  }
}
