import AuditLog
import Foundation
import Synchronization

/// A position in a file: the sequence of the next record, in decimal. The file is replaced as a whole: after a crash it holds a position that was
/// written, never none.
final class Cursor: Sendable {
  private struct State {
    /// What is to be written next; what it takes the place of need not be written any more.
    var waiting: UInt64?
    var isWriting = false
    var failure: WholeFileError?
  }

  private let path: String
  private let state = Mutex(State())
  /// Waits for the disk in place of those who print.
  private let queue = DispatchQueue(label: "hubaudit.cursor")

  /// `nil` without a path.
  init?(_ path: String?) {
    guard let path else { return nil }
    self.path = path
  }

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

  /// Has the position written, without waiting for it: as soon as the one before it is on disk.
  ///
  /// - Throws: why an earlier one could not be written.
  func write(next: UInt64) throws {
    let begins = try state.withLock { state throws -> Bool in
      if let failure = state.failure { throw self.failure(failure) }
      state.waiting = next
      defer { state.isWriting = true }
      return !state.isWriting
    }
    if begins { queue.async { [self] in writeWaiting() } }
  }

  /// Returns when the last position is on disk.
  func finish() throws {
    queue.sync {}
    if let failure = state.withLock({ $0.failure }) { throw self.failure(failure) }
  }

  private func writeWaiting() {
    while true {
      let next = state.withLock { state in
        if state.waiting == nil || state.failure != nil { state.isWriting = false }
        return state.isWriting ? state.waiting.take() : nil
      }
      guard let next else { return }
      do throws(WholeFileError) { try WholeFile.replace(path, with: Array("\(next)\n".utf8)) } catch {
        state.withLock { $0.failure = error }
      }
    }
  }

  private func failure(_ error: WholeFileError) -> CommandFailure {
    CommandFailure(.failure, "cannot write the position to \(path): \(error)")
  }
}
