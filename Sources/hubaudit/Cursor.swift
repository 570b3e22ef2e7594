import AuditLog
import AuditSchema
import Foundation
import MerkleTree
import Synchronization

/// A position in a file, as one line of JSON: the log's id, the sequence of the next record, and the leaf hash of the record before it. The file
/// is replaced as a whole, so after a crash it holds the old position or the new one.
final class Cursor: Sendable {
  /// The file's content.
  private struct Line: Codable {
    /// 32 hexadecimal digits.
    var log_id: String
    var next_sequence: UInt64
    /// 64 hexadecimal digits; `nil` at the log's beginning.
    var leaf_hash: String?
  }

  private struct State {
    /// The position to write next. A newer one replaces it.
    var waiting: LogHistory?
    var isWriting = false
    var failure: WholeFileError?
  }

  private let path: String
  private let state = Mutex(State())
  /// Writes, so that printing does not wait for the disk.
  private let queue = DispatchQueue(label: "hubaudit.cursor")

  /// `nil` without a path.
  init?(_ path: String?) {
    guard let path else { return nil }
    self.path = path
  }

  /// The position in the file; `nil` if there is no file.
  ///
  /// - Throws: `CommandFailure` if the file holds something else, or cannot be read.
  static func read(_ path: String?) throws -> LogHistory? {
    guard let path, FileManager.default.fileExists(atPath: path) else { return nil }
    let text: String
    do { text = try String(contentsOfFile: path, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines) } catch {
      throw CommandFailure(.failure, "cannot read the position in \(path): \(error.localizedDescription)")
    }
    if let next = UInt64(text) {
      throw CommandFailure(
        .failure,
        "\(path) holds a bare number, which says nothing of the log that it is a position of; if it is one of this log, remove the file and give "
          + "--from \(next) once")
    }
    guard let line = try? JSONDecoder().decode(Line.self, from: Data(text.utf8)), let logID = Hex.decode(line.log_id.utf8),
      logID.count == 16,
      line.next_sequence <= Record.maximumSequence, (line.leaf_hash == nil) == (line.next_sequence == 0)
    else { throw Self.noPosition(path) }
    let leafHash = line.leaf_hash.flatMap { TreeHash(hex: $0) }
    guard line.leaf_hash == nil || leafHash != nil else { throw Self.noPosition(path) }
    return LogHistory(logID: logID, size: line.next_sequence, leafHash: leafHash?.bytes)
  }

  private static func noPosition(_ path: String) -> CommandFailure {
    CommandFailure(
      .failure, "\(path) holds no position: it should be one line of JSON with log_id, next_sequence and leaf_hash. Remove it to begin anew"
    )
  }

  private static func text(_ position: LogHistory) -> [UInt8] {
    let line = Line(
      log_id: Hex.encode(position.logID), next_sequence: position.size, leaf_hash: position.leafHash.map { Hex.encode($0) })
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    // Numbers and strings always have a JSON form.
    return Array(try! encoder.encode(line)) + [UInt8(ascii: "\n")]
  }

  /// Schedules a write of the position, after the write under way, and does not wait for it.
  ///
  /// - Parameter position: is skipped if its leaf hash is not known; then the file keeps the last one.
  /// - Throws: the error of an earlier write.
  func write(_ position: LogHistory?) throws {
    guard let position, position.size == 0 || position.leafHash != nil else { return }
    let begins = try state.withLock { state throws -> Bool in
      if let failure = state.failure { throw self.failure(failure) }
      state.waiting = position
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
      let position = state.withLock { state in
        if state.waiting == nil || state.failure != nil { state.isWriting = false }
        return state.isWriting ? state.waiting.take() : nil
      }
      guard let position else { return }
      do throws(WholeFileError) { try WholeFile.replace(path, with: Self.text(position)) } catch {
        state.withLock { $0.failure = error }
      }
    }
  }

  private func failure(_ error: WholeFileError) -> CommandFailure {
    CommandFailure(.failure, "cannot write the position to \(path): \(error)")
  }
}
