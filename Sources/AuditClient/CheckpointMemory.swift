import AuditLog
import Foundation
import MerkleTree
import Synchronization

/// Remembers the newest checkpoint of a log that a client has seen and verified, across connections and, with a file, across processes.
///
/// What a log once signed it has to stand by: a client with a memory asks for a proof that every later log begins with that one, and ends
/// its connection with `ClientError.Code.tampered` when there is none.
public final class CheckpointMemory: Sendable {
  /// The log's verifier keys.
  public let keys: [VerifierKey]
  private let file: String?
  private let state: Mutex<SignedCheckpoint?>

  /// - Parameters:
  ///   - keys: one, or the old and the new one while they change; named like the log's origin.
  ///   - file: where the newest checkpoint is kept: a signed note. It may be missing.
  /// - Throws: `EvidenceError` when there is no key, or the file holds no checkpoint that one of them has signed.
  public init(keys: [VerifierKey], file: String? = nil) throws {
    guard !keys.isEmpty else { throw EvidenceError(.keyUnusable, "a memory of checkpoints needs the log's verifier key") }
    for key in keys where key.kind != .ed25519 {
      throw EvidenceError(.keyUnusable, "a memory of checkpoints takes the log's verifier keys; \(key) is a witness'")
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

  /// The checkpoint with the most records that was verified.
  public var newest: SignedCheckpoint? { state.withLock { $0 } }

  /// - Throws: when the file cannot be written; the checkpoint is remembered by this object nevertheless.
  func remember(_ checkpoint: SignedCheckpoint) throws {
    try state.withLock { newest in
      guard checkpoint.checkpoint.size >= newest?.checkpoint.size ?? 0 else { return }
      newest = checkpoint
      if let file { try WholeFile.replace(file, with: checkpoint.bytes) }
    }
  }
}
