import ArgumentParser
import AuditClient
import AuditSchema

/// Options for the start of a read.
struct PositionOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "first, last (the end), -N (the last N records) or a sequence.") var from: String?
  @Option(parsing: .unconditional, help: "The record after this sequence.") var after: UInt64?
  @Option(help: "File with the position to resume from; kept up to date. It names its log and the record before it.", completion: .file())
  var cursorFile: String?

  /// The position of the cursor file, which overrides the options; `nil` if there is none.
  func history() throws -> LogHistory? { try Cursor.read(cursorFile) }

  /// - Throws: `CommandFailure` with usage status for invalid or contradicting options.
  func check() throws { _ = try start(next: 0) }

  /// `nil` if no option gives a start.
  ///
  /// - Parameter next: the sequence after the newest record.
  func start(next: UInt64) throws -> Start? {
    guard [from != nil, after != nil].filter({ $0 }).count < 2 else { throw CommandFailure(.usage, "give --from or --after, not both") }
    if let after { return .after(after) }
    switch from {
    case nil: return nil
    case "first", "beginning": return .earliest
    case "last", "end": return .latest
    case let text?:
      if text.hasPrefix("-"), let count = UInt64(text.dropFirst()) { return .sequence(next - min(next, count)) }
      guard let sequence = UInt64(text) else {
        throw CommandFailure(.usage, "--from: \"\(text)\" is not first, last, -N or a sequence")
      }
      return .sequence(sequence)
    }
  }
}
