/// What a log sends to a witness' `add-checkpoint` (C2SP tlog-witness): its checkpoint, and the proof that it continues the one that the
/// witness cosigned last.
public struct AddCheckpointRequest: Hashable, Sendable, CustomStringConvertible {
  /// Size that the witness cosigned last; 0 the first time.
  public let oldSize: UInt64
  /// Consistency proof from `oldSize` to the checkpoint's size; at most 63 hashes.
  public let path: [TreeHash]
  public let checkpoint: SignedCheckpoint

  /// Most hashes of a proof.
  public static let maxHashes = 63

  /// - Throws: `.outOfRange` when the proof is for another size than the checkpoint's or too long.
  public init(proof: ConsistencyProof, checkpoint: SignedCheckpoint) throws(EvidenceError) {
    guard proof.newSize == checkpoint.checkpoint.size, proof.oldSize <= proof.newSize, proof.path.count <= AddCheckpointRequest.maxHashes
    else {
      throw EvidenceError(
        .outOfRange,
        "add-checkpoint: \(proof.path.count) hashes from \(proof.oldSize) to \(proof.newSize) are no proof for a checkpoint of "
          + "\(checkpoint.checkpoint.size) leaves")
    }
    oldSize = proof.oldSize
    path = proof.path
    self.checkpoint = checkpoint
  }

  /// Reads a request's body; verifies nothing.
  ///
  /// - Throws: `.malformed`; `.outOfRange` when the old size is greater than the checkpoint's. A witness answers both with 400.
  public init(_ bytes: some Collection<UInt8>) throws(EvidenceError) {
    guard bytes.count <= 2 * SignedNote.maxBytes else {
      throw EvidenceError(.malformed, "add-checkpoint: \(bytes.count) bytes are more than \(2 * SignedNote.maxBytes)")
    }
    var reader = NoteLines(Array(bytes)[...])
    guard let text = reader.next()?.dropping(prefix: "old "), let oldSize = UInt64(canonicalDecimal: text) else {
      throw EvidenceError(.malformed, "add-checkpoint: line 1 is not \"old\" and a decimal number without leading zeros")
    }
    self.oldSize = oldSize
    path = try reader.hashes(limit: AddCheckpointRequest.maxHashes, in: "add-checkpoint")
    checkpoint = try SignedCheckpoint(reader.rest)
    guard oldSize <= checkpoint.checkpoint.size else {
      throw EvidenceError(
        .outOfRange, "add-checkpoint: the old size \(oldSize) is greater than the checkpoint's \(checkpoint.checkpoint.size)")
    }
  }

  public var proof: ConsistencyProof {
    ConsistencyProof(oldSize: oldSize, newSize: checkpoint.checkpoint.size, path: path)
  }

  public var description: String {
    "old \(oldSize)\n" + path.map { "\($0.base64)\n" }.joined() + "\n" + checkpoint.description
  }

  /// The body.
  public var bytes: [UInt8] { Array(description.utf8) }
}
