import AuditSchema
import MerkleTree

/// A record's place in the log, as somebody can check who trusts only the log's verifier key.
public struct Receipt: Sendable {
  public let sequence: UInt64
  public let proof: InclusionProof
  public let checkpoint: SignedCheckpoint

  /// The receipt as a file that any C2SP tlog-proof verifier takes, with the record's header as its extra data: who has the log's key needs
  /// nothing else to check it.
  ///
  /// - Throws: when proof and checkpoint are of different trees.
  public func tlogProof(header: some Collection<UInt8>) throws(EvidenceError) -> TlogProof {
    try TlogProof(proof: proof, checkpoint: checkpoint, extra: Array(header))
  }

  /// A receipt that was kept, and the header of the record that it is of.
  ///
  /// - Throws: `.malformed` when the file does not hold the header, or one that is no record's or is another's.
  public static func kept(_ file: TlogProof) throws(EvidenceError) -> (receipt: Receipt, header: [UInt8], record: Record) {
    guard let header = file.extra else {
      throw EvidenceError(
        .malformed, "the receipt does not hold its record's header; compare it with the log: verify --data or --server with --since")
    }
    // A header is a record whose body is not there.
    guard let record = try? Record([0x0A] + Framing.delimited(header)), record.sequence == file.index else {
      throw EvidenceError(.malformed, "the receipt is of record \(file.index), and the header in it is not that record's")
    }
    let proof = InclusionProof(index: file.index, treeSize: file.checkpoint.checkpoint.size, path: file.path)
    return (Receipt(sequence: file.index, proof: proof, checkpoint: file.checkpoint), header, record)
  }

  /// Returns when one of the log's keys has signed a log that holds the record with this header at this place, and every witness
  /// whose key is among the keys has cosigned it.
  ///
  /// - Throws: `.quorumMissing` where a witness has not.
  public func verify(header: some Collection<UInt8>, keys: [VerifierKey]) throws(EvidenceError) {
    let logKeys = keys.filter { $0.kind != .cosignature }
    guard let origin = logKeys.first?.name else {
      throw EvidenceError(.keyUnusable, "receipt: there is no key of the log to verify it with")
    }
    let witnessKeys = keys.filter { $0.kind == .cosignature }
    let signatures = try checkpoint.verify(origin: origin, logKeys: logKeys, witnessKeys: witnessKeys)
    if let missing = witnessKeys.first(where: { key in !signatures.contains { $0.key == key } }) {
      throw EvidenceError(
        .quorumMissing, "receipt: \(missing.name) has not cosigned the checkpoint of \(checkpoint.checkpoint.size) records")
    }
    try proof.verify(leaf: .leaf(Array(header)), root: checkpoint.checkpoint.root)
  }
}

extension Appended {
  /// What proves the records of an append that asked for it, in order; empty for others.
  ///
  /// - Throws: when the server's proofs are not of the form.
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
      throw EvidenceError(.malformed, "proof: \(bytes.count) bytes are not hashes of \(TreeHash.byteCount) each")
    }
    return stride(from: 0, to: bytes.count, by: TreeHash.byteCount).map { TreeHash(bytes[$0..<$0 + TreeHash.byteCount])! }
  }

  /// The newest checkpoint; with `size` one that covers at least so many records, which is signed now if need be.
  public func checkpoint(covering size: UInt64? = nil) async throws -> SignedCheckpoint {
    let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.checkpoint(id: id, size: size) }
    guard case .checkpoint(let note) = reply else { throw ClientError.unexpected(reply, to: "a checkpoint request") }
    return try SignedCheckpoint(note)
  }

  /// Proof that the record with `sequence` is in the log, with the checkpoint that it is proven against. Nothing of it is verified yet.
  public func prove(_ sequence: UInt64) async throws -> Receipt {
    let proof = try await proof(ProofRequest(.inclusion(sequence)))
    guard let note = proof.checkpoint else { throw EvidenceError(.unavailable, "the server sent a proof without its checkpoint") }
    let path = try Self.hashes(proof.hashes.flatMap { $0 })
    return Receipt(
      sequence: sequence, proof: InclusionProof(index: sequence, treeSize: proof.size, path: path), checkpoint: try SignedCheckpoint(note))
  }

  /// Proof that the log of `size` records begins with the log of `oldSize`.
  public func proveConsistency(from oldSize: UInt64, to size: UInt64) async throws -> ConsistencyProof {
    let proof = try await proof(ProofRequest(.consistency(oldSize), size: size))
    return ConsistencyProof(oldSize: oldSize, newSize: size, path: try Self.hashes(proof.hashes.flatMap { $0 }))
  }

  /// Has a record's body erased for good. What is signed names the record by its hash, as the server shows it: the order is good for no other.
  ///
  /// - Parameter key: one of the log's own keys.
  /// - Returns: the sequence of the record that says who, when and why.
  public func erase(_ sequence: UInt64, by: String, reason: String, key: SignerKey) async throws -> UInt64 {
    // Of a record that is not there, or that a stranger asks for, the server says so.
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
    guard case .erased(let sequence) = reply else { throw ClientError.unexpected(reply, to: "a erasure") }
    return sequence
  }

  private func proof(_ request: ProofRequest) async throws(ClientError) -> TreeProof {
    let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.proof(id: id, request) }
    guard case .proof(let proof) = reply else { throw ClientError.unexpected(reply, to: "a proof request") }
    return proof
  }

  // MARK: - Remembering

  /// Verifies a checkpoint, and that the log it is of begins with the one that is remembered; then remembers it.
  ///
  /// - Throws: `tampered` when the server cannot stand by what it signed before; what ended the connection.
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
        "the log at \(connection.address) is not the one that was seen before (\(error)); keep both checkpoints as evidence, they are signed:\n"
          + "\(memory.newest.map { "\($0)" } ?? "")\n\(checkpoint)")
    }
    do { try memory.remember(checkpoint) } catch {
      throw ClientError(
        .closed, "the checkpoint that was seen cannot be kept in its file (\(error)); without it nothing can be compared later")
    }
  }

  /// Compares the server's newest checkpoint with what is remembered, before anything else is asked.
  func learnNewest(_ memory: CheckpointMemory) async throws(ClientError) {
    let newest: SignedCheckpoint
    do { newest = try await checkpoint() } catch let error as ClientError where error.refusal == nil { throw error } catch {
      throw ClientError(
        memory.newest == nil ? .protocolViolation : .tampered,
        "\(connection.address) shows no signed checkpoint to check the log by (\(error))")
    }
    try await learn(newest, memory)
  }
}
