/// A log's request to a witness, the body of `add-checkpoint` (C2SP tlog-witness): a checkpoint, and the proof that it extends the
/// checkpoint that the witness cosigned last.
public struct AddCheckpointRequest: Hashable, Sendable, CustomStringConvertible {
  /// The size that the witness cosigned last, in leaves; 0 the first time.
  public let oldSize: UInt64
  /// Consistency proof from `oldSize` to the checkpoint's size; at most 63 hashes.
  public let path: [TreeHash]
  /// The checkpoint to cosign.
  public let checkpoint: SignedCheckpoint

  /// Maximum number of hashes in `path`.
  public static let maxHashes = 63

  /// - Throws: `.outOfRange` if the proof's new size is not the checkpoint's, the tree shrinks, or the path is too long.
  public init(proof: ConsistencyProof, checkpoint: SignedCheckpoint) throws(EvidenceError) {
    guard proof.newSize == checkpoint.checkpoint.size, proof.oldSize <= proof.newSize, proof.path.count <= AddCheckpointRequest.maxHashes
    else {
      throw EvidenceError(
        .outOfRange,
        "add-checkpoint: a proof of \(proof.path.count) hashes from size \(proof.oldSize) to \(proof.newSize) does not fit a checkpoint of "
          + "size \(checkpoint.checkpoint.size)")
    }
    oldSize = proof.oldSize
    path = proof.path
    self.checkpoint = checkpoint
  }

  /// Parses a request's body. Verifies nothing.
  ///
  /// - Throws: `.malformed`; `.outOfRange` if the old size is greater than the checkpoint's. A witness answers both with status 400.
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

  /// The consistency proof from `oldSize` to the checkpoint's size.
  public var proof: ConsistencyProof {
    ConsistencyProof(oldSize: oldSize, newSize: checkpoint.checkpoint.size, path: path)
  }

  public var description: String {
    "old \(oldSize)\n" + path.map { "\($0.base64)\n" }.joined() + "\n" + checkpoint.description
  }

  /// The body of the request.
  public var bytes: [UInt8] { Array(description.utf8) }
}
