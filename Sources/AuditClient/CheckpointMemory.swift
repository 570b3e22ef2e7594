import AuditLog
import Foundation
import MerkleTree
import Synchronization

/// Remembers the newest checkpoint that a client has verified, across connections and, with a file, across processes.
///
/// A client with a memory asks for a proof that each later checkpoint extends the remembered one. Without a valid proof it closes its
/// connection with `ClientError.Code.tampered`.
public final class CheckpointMemory: Sendable {
  /// The log's verifier keys.
  public let keys: [VerifierKey]
  private let file: String?
  private let state: Mutex<SignedCheckpoint?>

  /// - Parameters:
  ///   - keys: Ed25519 verifier keys named like the log's origin: one, or the old and the new one during a key change.
  ///   - file: path of the file that keeps the newest checkpoint, as a signed note; created when missing. `nil`: kept in memory only.
  /// - Throws: `EvidenceError` without a key, or when the file's checkpoint is malformed or not signed by any of `keys`; a Foundation error
  ///   when the file cannot be read.
  public init(keys: [VerifierKey], file: String? = nil) throws {
    guard !keys.isEmpty else { throw EvidenceError(.keyUnusable, "a checkpoint memory needs at least one verifier key of the log") }
    for key in keys where key.kind != .ed25519 {
      throw EvidenceError(.keyUnusable, "a checkpoint memory takes the log's verifier keys; \(key) is a witness's key")
    }
    self.keys = keys
    self.file = file
    var remembered: SignedCheckpoint?
    if let file, FileManager.default.fileExists(atPath: file) {
      remembered = try SignedCheckpoint([UInt8](Data(contentsOf: URL(fileURLWithPath: file))))
      try remembered?.verify(origin: keys[0].name, logKeys: keys)
    }
    state = Mutex(remembered)
  }

  /// The largest verified checkpoint.
  public var newest: SignedCheckpoint? { state.withLock { $0 } }

  /// Keeps the checkpoint if it is not smaller than `newest`.
  ///
  /// - Throws: when the file cannot be written. The checkpoint is then kept in memory.
  func remember(_ checkpoint: SignedCheckpoint) throws {
    try state.withLock { newest in
      guard checkpoint.checkpoint.size >= newest?.checkpoint.size ?? 0 else { return }
      newest = checkpoint
      if let file { try WholeFile.replace(file, with: checkpoint.bytes) }
    }
  }
}
