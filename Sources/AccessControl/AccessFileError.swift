/// An access file that cannot be used: where, what was found, and what is allowed.
package struct AccessFileError: Error, Sendable, CustomStringConvertible {
  package let path: String
  /// From 1; `nil` if it is about the whole file.
  package let line: Int?
  package let sentence: String

  package init(_ path: String, line: Int? = nil, _ sentence: String) {
    self.path = path
    self.line = line
    self.sentence = sentence
  }

  package var description: String { line.map { "\(path):\($0): \(sentence)" } ?? "\(path): \(sentence)" }
}
