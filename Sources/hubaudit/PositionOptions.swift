import ArgumentParser
import AuditClient
import AuditSchema
import Foundation

/// Where to begin.
struct PositionOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "first, last (the end), -N (the last N records) or a sequence.") var from: String?
  @Option(help: "The record after this sequence.") var after: UInt64?
  @Option(help: "File with the position to resume from; kept up to date.") var cursorFile: String?

  /// `nil` when no option says where to begin.
  ///
  /// - Parameter next: the sequence after the newest record.
  func start(next: UInt64) throws -> Start? {
    guard [from != nil, after != nil].filter({ $0 }).count < 2 else { throw CommandFailure(.usage, "give --from or --after, not both") }
    if let sequence = try Cursor.read(cursorFile) { return .sequence(sequence) }
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

/// A position in a file: the sequence of the next record, in decimal.
enum Cursor {
  static func read(_ path: String?) throws -> UInt64? {
    guard let path, FileManager.default.fileExists(atPath: path) else { return nil }
    guard let text = try? String(contentsOfFile: path, encoding: .utf8),
      let next = UInt64(text.trimmingCharacters(in: .whitespacesAndNewlines))
    else { throw CommandFailure(.failure, "\(path) holds no position; it should hold one number. Remove it to begin anew") }
    return next
  }

  static func write(_ path: String?, next: UInt64) throws {
    guard let path else { return }
    do {
      try Data("\(next)\n".utf8).write(to: URL(filePath: path), options: .atomic)
    } catch {
      throw CommandFailure(.failure, "cannot write the position to \(path): \(error.localizedDescription)")
    }
  }
}
