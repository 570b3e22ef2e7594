import AuditClient
import AuditLog
import AuditSchema
import Foundation
import MerkleTree

/// `hubaudit verify FILE.tlog-proof`: checks a receipt with nothing but the log's key.
struct ReceiptCheck {
  let path: String
  let keys: [VerifierKey]
  var policy: TrustPolicy?

  /// - Throws: `CommandFailure` if the receipt is not valid, or cannot be checked.
  func run(quiet: Bool) throws {
    guard !keys.isEmpty else {
      throw CommandFailure(.usage, "a receipt proves nothing without the log's key: give --key")
    }
    let bytes: [UInt8]
    do { bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path))) } catch {
      throw CommandFailure(.usage, "cannot read \(TerminalText.escaped(path)): \(error.localizedDescription)")
    }
    let record: Record
    let told: Checkpoint
    do throws(EvidenceError) {
      let kept = try Receipt.kept(TlogProof(bytes))
      try kept.receipt.verify(header: kept.header, keys: keys)
      try policy?.verify(kept.receipt.checkpoint)
      (record, told) = (kept.record, kept.receipt.checkpoint.checkpoint)
    } catch {
      let verdict: LogAudit.Verdict = error.code == .quorumMissing ? .notCosigned : .refuted
      throw CommandFailure(.verificationFailed, "\(verdict.rawValue): \(TerminalText.escaped(path)): \(error)")
    }
    if quiet { return }
    let kind = record.kind.map { "kind \(TerminalText.escaped($0))" } ?? "no kind"
    print(
      "verified: record \(record.sequence) of \(TerminalText.escaped(told.origin)), \(kind), hub \(TerminalText.escaped(record.hub)), "
        + "received at \(UTCTime.rfc3339(record.receivedAt)), is in the log of \(counted(told.size, "record")) that the key has signed; its body has the "
        + "SHA-256 \(Hex.encode(record.bodySHA256))")
  }
}
