/// An offline receipt (C2SP tlog-proof): a signed checkpoint, and the proof that a leaf is in its tree. The usual file extension is
/// `.tlog-proof`.
public struct TlogProof: Hashable, Sendable, CustomStringConvertible {
  /// Bytes for the application. No signature covers them.
  public let extra: [UInt8]?
  /// Index of the leaf, from 0.
  public let index: UInt64
  /// The path of the inclusion proof, at most 63 hashes.
  public let path: [TreeHash]
  public let checkpoint: SignedCheckpoint

  private static let header = "c2sp.org/tlog-proof@v1"

  /// - Throws: `.outOfRange` if the proof's tree size is not the checkpoint's, or `extra` is an empty array.
  public init(proof: InclusionProof, checkpoint: SignedCheckpoint, extra: [UInt8]? = nil) throws(EvidenceError) {
    guard proof.treeSize == checkpoint.checkpoint.size else {
      throw EvidenceError(
        .outOfRange, "tlog-proof: the proof is for \(proof.treeSize) leaves, the checkpoint for \(checkpoint.checkpoint.size)")
    }
    guard extra?.isEmpty != true else { throw EvidenceError(.outOfRange, "tlog-proof: the extra data is empty; pass nil instead") }
    self.extra = extra
    index = proof.index
    path = proof.path
    self.checkpoint = checkpoint
  }

  /// Parses a proof. Verifies nothing.
  ///
  /// - Throws: `.malformed`.
  public init(_ bytes: some Collection<UInt8>) throws(EvidenceError) {
    // The note may have `maxBytes`; the same again is enough for the header, extra data and path.
    guard bytes.count <= 2 * SignedNote.maxBytes else {
      throw EvidenceError(.malformed, "tlog-proof: \(bytes.count) bytes are more than \(2 * SignedNote.maxBytes)")
    }
    var reader = NoteLines(Array(bytes)[...])
    guard let first = reader.next(), first.elementsEqual(TlogProof.header.utf8) else {
      throw EvidenceError(.malformed, "tlog-proof: the first line is not \(TlogProof.header)")
    }
    var line = reader.next()
    if let text = line?.dropping(prefix: "extra ") {
      guard let data = Base64.decode(text), !data.isEmpty else {
        throw EvidenceError(.malformed, "tlog-proof: line 2: the extra data is not base64")
      }
      extra = data
      line = reader.next()
    } else {
      extra = nil
    }
    guard let text = line?.dropping(prefix: "index "), let index = UInt64(canonicalDecimal: text) else {
      throw EvidenceError(.malformed, "tlog-proof: line \(reader.line) is not \"index\" and a decimal number without leading zeros")
    }
    self.index = index
    path = try reader.hashes(limit: 63, in: "tlog-proof")
    checkpoint = try SignedCheckpoint(reader.rest)
  }

  /// Verifies the log's signature, the policy's quorum of witnesses, and that the checkpoint's tree contains the leaf.
  ///
  /// - Returns: all valid signatures of the policy's keys.
  /// - Throws: the errors of `TrustPolicy.verify` and `InclusionProof.verify`.
  @discardableResult
  public func verify(leaf: TreeHash, policy: TrustPolicy) throws(EvidenceError) -> [VerifiedSignature] {
    let signatures = try policy.verify(checkpoint)
    try InclusionProof(index: index, treeSize: checkpoint.checkpoint.size, path: path)
      .verify(leaf: leaf, root: checkpoint.checkpoint.root)
    return signatures
  }

  public var description: String {
    TlogProof.header + "\n" + (extra.map { "extra \(Base64.encode($0))\n" } ?? "") + "index \(index)\n"
      + path.map { "\($0.base64)\n" }.joined() + "\n" + checkpoint.description
  }

  /// The content of the file.
  public var bytes: [UInt8] { Array(description.utf8) }
}
