import AuditLog
import AuditSchema
import MerkleTree

/// Proves that a record is in the log. The log's verifier key is all that is needed to check it.
public struct Receipt: Sendable {
  /// The record's position in the log.
  public let sequence: UInt64
  /// Proves the record's leaf against the root of `checkpoint`.
  public let proof: InclusionProof
  /// A signed checkpoint that covers the record.
  public let checkpoint: SignedCheckpoint

  /// The receipt as a C2SP tlog-proof file, with the record's header as its extra data.
  ///
  /// - Throws: `EvidenceError` if proof and checkpoint are of different tree sizes.
  public func tlogProof(header: some Collection<UInt8>) throws(EvidenceError) -> TlogProof {
    try TlogProof(proof: proof, checkpoint: checkpoint, extra: Array(header))
  }

  /// Reads a receipt and its record's header from a tlog-proof file. Verifies no signature; `verify` does.
  ///
  /// - Returns: the receipt, the encoded header, and the header as a record without a body.
  /// - Throws: `.malformed` if the file has no header, or its header is malformed or of another record.
  public static func kept(_ file: TlogProof) throws(EvidenceError) -> (receipt: Receipt, header: [UInt8], record: Record) {
    guard let header = file.extra else {
      throw EvidenceError(
        .malformed, "the receipt has no record header; check it against the log instead: verify with --since and --data or --server")
    }
    // A record may lack its body, so a header alone decodes as a record.
    guard let record = try? Record([0x0A] + Framing.delimited(header)), record.sequence == file.index else {
      throw EvidenceError(.malformed, "the receipt is for record \(file.index), but its header is malformed or of another record")
    }
    let proof = InclusionProof(index: file.index, treeSize: file.checkpoint.checkpoint.size, path: file.path)
    return (Receipt(sequence: file.index, proof: proof, checkpoint: file.checkpoint), header, record)
  }

  /// Verifies that the checkpoint is signed by a log key and cosigned by every witness in `keys`, and that it covers the record.
  ///
  /// - Parameters:
  ///   - header: the record's encoded header.
  ///   - keys: at least one key of the log, and the keys of all witnesses that must have cosigned.
  /// - Throws: `.keyUnusable` without a log key, `.quorumMissing` if a cosignature is missing, otherwise why a signature or the proof is
  ///   invalid.
  public func verify(header: some Collection<UInt8>, keys: [VerifierKey]) throws(EvidenceError) {
    let logKeys = keys.filter { $0.kind != .cosignature }
    guard let origin = logKeys.first?.name else {
      throw EvidenceError(.keyUnusable, "cannot verify the receipt: no verifier key of the log was given")
    }
    let witnessKeys = keys.filter { $0.kind == .cosignature }
    let signatures = try checkpoint.verify(origin: origin, logKeys: logKeys, witnessKeys: witnessKeys)
    if let missing = witnessKeys.first(where: { key in !signatures.contains { $0.key == key } }) {
      throw EvidenceError(
        .quorumMissing, "receipt: witness \(missing.name) has not cosigned the checkpoint of size \(checkpoint.checkpoint.size)")
    }
    try proof.verify(leaf: .leaf(Array(header)), root: checkpoint.checkpoint.root)
  }
}

extension Appended {
  /// The receipts of the appended records, in order; empty unless the append was `proven`. Not verified yet.
  ///
  /// - Throws: `EvidenceError` if the server's proofs or checkpoint are malformed or incomplete.
  public func receipts() throws(EvidenceError) -> [Receipt] {
    guard let checkpoint, !proofs.isEmpty else { return [] }
    guard proofs.count == sequences.count else {
      throw EvidenceError(.unavailable, "the server sent \(proofs.count) proofs for \(sequences.count) records")
    }
    let signed = try SignedCheckpoint(checkpoint)
    var receipts: [Receipt] = []
    for (sequence, hashes) in zip(sequences, proofs) {
      let path = try AuditClient.hashes(hashes)
      receipts.append(
        Receipt(
          sequence: sequence, proof: InclusionProof(index: sequence, treeSize: signed.checkpoint.size, path: path), checkpoint: signed))
    }
    return receipts
  }
}

extension AuditClient {
  static func hashes(_ bytes: [UInt8]) throws(EvidenceError) -> [TreeHash] {
    guard bytes.count % TreeHash.byteCount == 0 else {
      throw EvidenceError(.malformed, "proof: \(bytes.count) bytes is not a multiple of the hash size, \(TreeHash.byteCount) bytes")
    }
    return stride(from: 0, to: bytes.count, by: TreeHash.byteCount).map { TreeHash(bytes[$0..<$0 + TreeHash.byteCount])! }
  }

  /// The newest checkpoint. Not verified, unless the client has a `CheckpointMemory`; then see `ClientConfiguration.checkpoints`.
  ///
  /// - Parameter size: the checkpoint must cover at least this many records; the server signs one if needed.
  /// - Throws: `ClientError`; `refused` if the log is shorter or has no key. `EvidenceError` if the checkpoint is malformed.
  public func checkpoint(covering size: UInt64? = nil) async throws -> SignedCheckpoint {
    let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.checkpoint(id: id, size: size) }
    guard case .checkpoint(let note) = reply else { throw ClientError.unexpected(reply, to: "a checkpoint request") }
    return try SignedCheckpoint(note)
  }

  /// Asks for the proof that the record is in the log, and the checkpoint that covers it. Call `verify` on the result.
  ///
  /// - Throws: `ClientError`; `EvidenceError` if the proof or checkpoint is missing or malformed.
  public func prove(_ sequence: UInt64) async throws -> Receipt {
    let proof = try await proof(ProofRequest(.inclusion(sequence)))
    guard let note = proof.checkpoint else { throw EvidenceError(.unavailable, "the server sent a proof without its checkpoint") }
    let path = try Self.hashes(proof.hashes.flatMap { $0 })
    return Receipt(
      sequence: sequence, proof: InclusionProof(index: sequence, treeSize: proof.size, path: path), checkpoint: try SignedCheckpoint(note))
  }

  /// Asks for the proof that the log of `size` records extends the log of `oldSize` records. Call `verify` on the result.
  ///
  /// - Throws: `ClientError`; `EvidenceError` if the proof is malformed.
  public func proveConsistency(from oldSize: UInt64, to size: UInt64) async throws -> ConsistencyProof {
    let proof = try await proof(ProofRequest(.consistency(oldSize), size: size))
    return ConsistencyProof(oldSize: oldSize, newSize: size, path: try Self.hashes(proof.hashes.flatMap { $0 }))
  }

  /// Erases a record's body permanently. The signed order contains the record's leaf hash, so it applies to no other record.
  ///
  /// - Parameters:
  ///   - sequence: of the record to erase.
  ///   - by: who orders it, for the log.
  ///   - reason: why, for the log.
  ///   - key: a signing key of the log.
  /// - Returns: the sequence of the record that documents the erasure.
  /// - Throws: `ClientError`; `refused` if the record does not exist or the right is missing. `EvidenceError` for an invalid text or key.
  public func erase(_ sequence: UInt64, by: String, reason: String, key: SignerKey) async throws -> UInt64 {
    // If the record does not exist, the statement keeps a zero hash and the server refuses it with the reason.
    var leafHash = [UInt8](repeating: 0, count: ErasureStatement.leafHashBytes)
    do {
      for try await record in read(from: .sequence(sequence), limit: 1) where record.sequence == sequence {
        leafHash = TreeHash.leaf(Array(record.encodedHeader)).bytes
      }
    } catch {
      guard error.code == .refused(.invalidRequest) else { throw error }
    }
    let statement = try ErasureStatement(
      origin: key.verifier.name, logID: welcome.logID, sequence: sequence, leafHash: leafHash, by: by, reason: reason)
    var note = try SignedNote(text: statement.text)
    try note.sign(with: [key])
    let bytes = note.bytes
    let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.erase(id: id, statement: bytes) }
    guard case .erased(let sequence) = reply else { throw ClientError.unexpected(reply, to: "an erasure") }
    return sequence
  }

  private func proof(_ request: ProofRequest) async throws(ClientError) -> TreeProof {
    let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.proof(id: id, request) }
    guard case .proof(let proof) = reply else { throw ClientError.unexpected(reply, to: "a proof request") }
    return proof
  }

  // MARK: - Remembering

  /// Verifies a checkpoint and that it is consistent with the remembered one, then remembers it.
  ///
  /// - Throws: `tampered` if a signature or the proof is missing or invalid; `closed` if the memory's file cannot be written; or why the
  ///   connection ended.
  func learn(_ checkpoint: SignedCheckpoint, _ memory: CheckpointMemory) async throws(ClientError) {
    do {
      try checkpoint.verify(origin: memory.keys[0].name, logKeys: memory.keys)
      if let old = memory.newest, old.note.text != checkpoint.note.text {
        let isGrowth = old.checkpoint.size <= checkpoint.checkpoint.size
        let (first, last) = isGrowth ? (old.checkpoint, checkpoint.checkpoint) : (checkpoint.checkpoint, old.checkpoint)
        let proof = try await proveConsistency(from: first.size, to: last.size)
        try proof.verify(oldRoot: first.root, newRoot: last.root)
      }
    } catch let error as ClientError where error.refusal?.code != .invalidRequest {
      throw error
    } catch {
      throw ClientError(
        .tampered,
        "the log at \(connection.address) does not match the remembered checkpoint (\(error)); keep both signed checkpoints as evidence:\n"
          + "\(memory.newest.map { "\($0)" } ?? "")\n\(checkpoint)")
    }
    do { try memory.remember(checkpoint) } catch {
      throw ClientError(
        .closed, "the checkpoint file cannot be written (\(error)); without it a later change of the log would not be detected")
    }
  }

  /// Checks the server's newest checkpoint against the memory, as the first request of a connection.
  func learnNewest(_ memory: CheckpointMemory) async throws(ClientError) {
    let newest: SignedCheckpoint
    do { newest = try await checkpoint() } catch let error as ClientError where error.refusal == nil { throw error } catch {
      throw ClientError(
        memory.newest == nil ? .protocolViolation : .tampered,
        "\(connection.address) has no valid signed checkpoint, so its log cannot be checked (\(error))")
    }
    try await learn(newest, memory)
  }
}
