import MerkleTree

extension FuzzTarget {
  /// Notes, checkpoints, proofs, policies, keys and paths. Each has one spelling: what was read is written as the same bytes.
  static func evidence() -> FuzzTarget {
    FuzzTarget(name: "evidence") { input in
      let bytes = Array(input)
      try same(bytes, "note") { try SignedNote(bytes).bytes }
      try same(bytes, "checkpoint") { try SignedCheckpoint(bytes).bytes }
      try same(bytes, "tlog-proof") { try TlogProof(bytes).bytes }
      try same(bytes, "add-checkpoint") { try AddCheckpointRequest(bytes).bytes }
      try same(bytes, "tree state") { try CompactRange(encoded: bytes).encoded }
      try same(bytes, "signature lines") { try NoteSignature.lines(bytes).flatMap { Array("\($0)\n".utf8) } }
      if let width = bytes.first {
        try same(Array(bytes.dropFirst()), "entry bundle") {
          var bundle: [UInt8] = []
          for entry in try EntryBundle.entries(in: Array(bytes.dropFirst()), width: Int(width)) {
            try EntryBundle.append(entry, to: &bundle)
          }
          return bundle
        }
      }
      if let policy = try? TrustPolicy(bytes) { _ = policy.isQuorum([]) }
      if let note = try? SignedNote(bytes) { _ = try? note.verify(with: [sampleKey]) }
      if let request = try? AddCheckpointRequest(bytes) {
        let root = request.checkpoint.checkpoint.root
        _ = try? request.proof.verify(oldRoot: root, newRoot: root)
      }
      if let proof = try? TlogProof(bytes) {
        let size = proof.checkpoint.checkpoint.size
        _ = try? InclusionProof(index: proof.index, treeSize: size, path: proof.path).root(leaf: .emptyTree)
      }
      guard let text = String(validating: bytes, as: UTF8.self) else { return }
      try same(bytes, "tile") { Array(try Tile(path: text).path.utf8) }
      try same(bytes, "verifier key") { Array(try VerifierKey(text).description.utf8) }
      try same(bytes, "signer key") { Array(try SignerKey(encoded: text).encoded.utf8) }
      try same(bytes, "checkpoint text") { Array(try Checkpoint(text: text).text.utf8) }
      if let hash = TreeHash(base64: text) { try require(hash.base64.utf8.elementsEqual(bytes), "a hash has two spellings") }
      if let hash = TreeHash(hex: text) { try require(hash.hex.utf8.elementsEqual(bytes), "a hash has two spellings") }
    }
  }

  private static let sampleKey: VerifierKey = {
    do { return try VerifierKey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k") } catch { fatalError("\(error)") }
  }()

  /// - Parameter again: reads and writes; refuses by an `EvidenceError`.
  private static func same(_ bytes: [UInt8], _ what: String, _ again: () throws -> [UInt8]) throws {
    do {
      let written = try again()
      try require(written == bytes, "a \(what) of \(bytes.count) bytes was written again as \(written.count) others")
    } catch let error as EvidenceError {
      try require(!error.message.isEmpty, "an error without a sentence")
    }
  }
}
