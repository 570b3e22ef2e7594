import Foundation
import Glibc

/// A position in a file: the sequence of the next record, in decimal. Written in place, once for every record that was printed.
final class Cursor {
  private let path: String
  private var descriptor: Int32 = -1

  /// `nil` without a path.
  init?(_ path: String?) {
    guard let path else { return nil }
    self.path = path
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// The position in the file; `nil` when there is no file.
  ///
  /// - Throws: `CommandFailure` for a file that holds something else.
  static func read(_ path: String?) throws -> UInt64? {
    guard let path, FileManager.default.fileExists(atPath: path) else { return nil }
    guard let text = try? String(contentsOfFile: path, encoding: .utf8),
      let next = UInt64(text.trimmingCharacters(in: .whitespacesAndNewlines))
    else { throw CommandFailure(.failure, "\(path) holds no position; it should hold one number. Remove it to begin anew") }
    return next
  }

  /// - Parameter next: never less than before, so that the text never gets shorter.
  func write(next: UInt64) throws {
    let text = Array("\(next)\n".utf8)
    if descriptor < 0 {
      descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
      guard descriptor >= 0, ftruncate(descriptor, 0) == 0 else { throw failure }
    }
    guard pwrite(descriptor, text, text.count, 0) == text.count else { throw failure }
  }

  private var failure: CommandFailure {
    CommandFailure(.failure, "cannot write the position to \(path): \(String(cString: strerror(errno)))")
  }
}
