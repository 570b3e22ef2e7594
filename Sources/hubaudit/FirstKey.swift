import AuditLog
import Foundation
import MerkleTree
import SegmentStore

/// A key file that is missing, and that the server is to make (`--make-key`).
struct FirstKey {
  private let path: String
  private let origin: String
  /// What told to make it.
  private let given: String

  /// - Parameters:
  ///   - origin: the key's name; empty: one is made of the machine's name.
  ///   - given: flag, variable or line that told to make it, for errors.
  /// - Returns: `nil` when something has the file's name: then it is read.
  init?(path: String, origin: String, given: String) throws {
    var found = stat()
    guard lstat(path, &found) != 0, errno == ENOENT else { return nil }
    self.path = path
    self.origin = origin
    self.given = given
  }

  /// Makes it, for a new log.
  ///
  /// - Throws: `CommandFailure` for a log that has records or was signed, and where no file can be made.
  func make(data: String, checkpoints: String?) throws -> SignerKey {
    let reason: String?
    do throws(StoreError) { reason = try LogBeginning.reasonNotNew(directory: data, checkpoints: checkpoints) } catch {
      throw CommandFailure(.failure, "the key file \(path) is missing, and whether the log is new cannot be told: \(error)")
    }
    if let reason {
      throw CommandFailure(
        .usage,
        "the key file \(path) is missing, and \(given) makes a key for a new log only: \(reason). Put the key back from its backup; "
          + "or make one yourself (hubaudit keygen NAME --out \(path)), and give --accept-new-key if the log was signed by one that is lost"
      )
    }
    guard !lies(in: data) else {
      throw CommandFailure(
        .usage, "the key file \(path) would lie in the data directory and go with every copy of the log; name a file in another directory")
    }
    let key = try KeyFile.generate(name: name, kind: .ed25519)
    try KeyFile.make(key, path)
    return key
  }

  private func lies(in data: String) -> Bool {
    let directory = URL(fileURLWithPath: path).deletingLastPathComponent().resolvingSymlinksInPath().path
    let data = URL(fileURLWithPath: data).resolvingSymlinksInPath().path
    return directory == data || directory.hasPrefix(data + "/")
  }

  /// Two logs of one machine, and those of a machine that was cloned, get names of their own: witnesses tell logs apart by them.
  private var name: String {
    guard origin.isEmpty else { return origin }
    var host = [CChar](repeating: 0, count: 256)
    let hasName = gethostname(&host, host.count - 1) == 0
    let text = hasName ? String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) : ""
    let isHostName = !text.isEmpty && text.utf8.allSatisfy { $0 == 45 || $0 == 46 || 48...57 ~= $0 || 65...90 ~= $0 || 97...122 ~= $0 }
    let digits = String(UInt64.random(in: 0...UInt64(UInt32.max)), radix: 16)
    return "\(isHostName ? text : "localhost")/hubaudit-\(String(repeating: "0", count: 8 - digits.count))\(digits)"
  }
}
