import MerkleTree
import Testing

/// tlog-proof, tlog-policy and add-checkpoint.
struct ReceiptTests {
  private static let origin = "log.example/a"
  private let stored = StoredTree(size: 300)
  private let log: SignerKey
  private let witnesses: [SignerKey]

  init() throws {
    log = try SignerKey(name: ReceiptTests.origin, kind: .ed25519, seed: [UInt8](repeating: 100, count: 32))
    witnesses = try (0..<6).map {
      try SignerKey(name: "w.example/\($0)", kind: .cosignature, seed: [UInt8](repeating: $0, count: 32))
    }
  }

  private func checkpoint(cosignedBy cosigners: [Int] = [], size: UInt64 = 300) throws -> SignedCheckpoint {
    let checkpoint = try Checkpoint(origin: ReceiptTests.origin, size: size, root: try stored.root(size: size))
    var signed = try SignedCheckpoint(checkpoint, signedBy: [log])
    for index in cosigners { signed.add(try witnesses[index].cosign(checkpoint, time: 1_700_000_000)) }
    return signed
  }

  /// A policy of the log and these lines, in which {0}, {1} ... stand for the witnesses' keys and {log} for the log's.
  private func policy(_ lines: String, log: Bool = true) throws -> TrustPolicy {
    var text = (log ? "log {log} https://log.example/\n" : "") + lines
    for (index, witness) in witnesses.enumerated() { text = text.replacing("{\(index)}", with: witness.verifier.description) }
    return try TrustPolicy(text.replacing("{log}", with: self.log.verifier.description).utf8)
  }

  /// A template with its places filled.
  private func filled(_ template: String) throws -> String {
    template.replacing("{header}", with: "c2sp.org/tlog-proof@v1").replacing("{hash}", with: TreeHash.emptyTree.base64)
      .replacing("{checkpoint}", with: try checkpoint().description)
  }

  private static let groups = """
    # two organisations
    \twitness X1 {0} https://w.example/
    witness  X2\t{1}
    witness X3 {2}
    group X-witnesses 2 X1 X2 X3

      # the other
    witness Y1 {3}
    witness Y2 {4}
    witness Y3 {5}
    group Y-witnesses any Y1 Y2 Y3
    group X-and-Y all X-witnesses Y-witnesses
    quorum X-and-Y

    """

  @Test("a policy of nested groups holds exactly for the sets of witnesses that it describes")
  func nestedGroups() throws {
    let policy = try policy(ReceiptTests.groups)
    #expect(policy.witnesses.map(\.name) == ["X1", "X2", "X3", "Y1", "Y2", "Y3"])
    #expect(policy.witnesses[0].url == "https://w.example/")
    #expect(policy.logs[0].url == "https://log.example/")
    for set in 0..<64 {
      let cosigners = (0..<6).filter { set >> $0 & 1 == 1 }
      let holds = cosigners.count(where: { $0 < 3 }) >= 2 && cosigners.contains { $0 >= 3 }
      #expect(code { try policy.verify(try checkpoint(cosignedBy: cosigners)) } == (holds ? nil : .quorumMissing), "\(cosigners)")
    }
  }

  @Test("a quorum of none needs the log's signature only, one of a witness needs that witness")
  func simpleQuorums() throws {
    let none = try policy("quorum none\n")
    #expect(try none.verify(checkpoint()).count == 1)
    let one = try policy("witness a {0}\nwitness b {1}\nquorum b\n")
    #expect(code { try one.verify(try checkpoint(cosignedBy: [0])) } == .quorumMissing)
    #expect(try one.verify(checkpoint(cosignedBy: [1])).count == 2)
    let noLog = try policy("quorum none\n", log: false)
    #expect(code { try noLog.verify(try checkpoint()) } == .wrongOrigin)
    var bad = try checkpoint(cosignedBy: [1])
    bad.add(try witnesses[0].cosign(Checkpoint(origin: "x", size: 1, root: .leaf([1])), time: 1))
    #expect(code { try one.verify(bad) } == .badSignature)
  }

  @Test(
    "a policy that breaks a rule is refused",
    arguments: [
      "", "quorum", "quorum none", "quorum\n", "quorum a\n", "quorum none none\n", "quorum none\nquorum none\n", "Quorum none\n",
      "witness a {0}\nquorum b\n", "quorum a\nwitness a {0}\n", "witness a\nquorum none\n", "witness a {0} u v\nquorum none\n",
      "witness none {0}\nquorum none\n", "witness a {0}\nwitness a {1}\nquorum a\n", "witness a {0}\nwitness b {0}\nquorum a\n",
      "witness a {0}\ngroup a any a\nquorum a\n", "group g any g\nquorum g\n", "group g any\nquorum none\n", "group g any x\nquorum g\n",
      "witness a {0}\ngroup none any a\nquorum none\n", "witness a {0}\ngroup g 0 a\nquorum g\n", "witness a {0}\ngroup g 2 a\nquorum g\n",
      "witness a {0}\ngroup g 01 a\nquorum g\n", "witness a {0}\ngroup g some a\nquorum g\n", "witness a {0}\ngroup g any none\nquorum g\n",
      "witness a {0}\ngroup g any a a\nquorum g\n", "witness a {0}\ngroup g any a\ngroup h any a\nquorum h\n", "log\nquorum none\n",
      "log {log}\nlog {log}\nquorum none\n", "log {log} u v\nquorum none\n", "log x\nquorum none\n", "unknown x\nquorum none\n",
      "quorum none\r\n",
      "quorum none\n\u{7F}\n", "# only\n", "quorum none\n#",
    ])
  func malformedPolicies(_ lines: String) {
    #expect(throws: Never.self) { _ = try policy("log {log} u\nwitness a {0} u\ngroup g any a\nquorum g\n", log: false) }
    #expect(code { _ = try policy(lines, log: false) } == .malformed)
  }

  @Test("a key of the wrong kind is refused in a policy")
  func wrongKinds() {
    #expect(code { _ = try policy("witness a {log}\nquorum a\n") } == .keyUnusable)
    #expect(code { _ = try policy("log {0}\nquorum none\n") } == .keyUnusable)
  }

  @Test("names of a policy are octets: also such as are not UTF-8")
  func octets() throws {
    let prefix = Array("log \(log.verifier)\nwitness ".utf8)
    let lines = prefix + [0xFF] + Array(" \(witnesses[0].verifier)\nquorum ".utf8)
    #expect(throws: Never.self) { _ = try TrustPolicy(lines + [0xFF, 0x0A]) }
    #expect(code { _ = try TrustPolicy(lines + [0xFE, 0x0A]) } == .malformed)
  }

  @Test("a policy of many logs, witnesses and groups is read")
  func large() throws {
    var text = ""
    for index: UInt8 in 0..<40 {
      let seed = [UInt8](repeating: index, count: 31)
      text += "log \(try SignerKey(name: "l\(index)", kind: .ed25519, seed: seed + [1]).verifier)\n"
      text += "witness w\(index) \(try SignerKey(name: "w", kind: .cosignature, seed: seed + [2]).verifier)\n"
      text += "group g\(index) all w\(index)\(index > 0 ? " g\(index - 1)" : "")\n"
    }
    let policy = try TrustPolicy((text + "quorum g39\n").utf8)
    #expect(policy.logs.count == 40 && policy.witnesses.count == 40)
    #expect(!policy.isQuorum([]))
  }

  @Test("a receipt is read as it was written and proves its leaf and no other")
  func receipts() throws {
    let policy = try policy("witness a {0}\nquorum a\n")
    for (index, extra) in [(0, nil), (17, [1, 2, 3]), (299, nil)] as [(UInt64, [UInt8]?)] {
      let proof = try InclusionProof(index: index, treeSize: 300, reading: stored)
      let receipt = try TlogProof(proof: proof, checkpoint: checkpoint(cosignedBy: [0]), extra: extra)
      let read = try TlogProof(receipt.bytes)
      #expect(read == receipt)
      #expect(read.extra == extra)
      #expect(try read.verify(leaf: stored.levels[0][Int(index)], policy: policy).count == 2)
      #expect(code { try read.verify(leaf: stored.levels[0][5], policy: policy) } == .proofMismatch)
      let alone = try TlogProof(proof: proof, checkpoint: checkpoint())
      #expect(code { try alone.verify(leaf: stored.levels[0][Int(index)], policy: policy) } == .quorumMissing)
    }
    let single = try TlogProof(proof: InclusionProof(index: 0, treeSize: 1, path: []), checkpoint: checkpoint(size: 1))
    #expect(single.description == "c2sp.org/tlog-proof@v1\nindex 0\n\n\(try checkpoint(size: 1))")
    #expect(try TlogProof(single.bytes) == single)
    let other = try InclusionProof(index: 0, treeSize: 299, reading: stored)
    #expect(code { _ = try TlogProof(proof: other, checkpoint: try checkpoint()) } == .outOfRange)
  }

  @Test(
    "a receipt that breaks a rule is refused",
    arguments: [
      "", "c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v1\n", "c2sp.org/tlog-proof@v2\nindex 0\n\n{checkpoint}",
      "{header}\n\nindex 0\n\n{checkpoint}", "{header}\nindex\n\n{checkpoint}",
      "{header}\nindex \n\n{checkpoint}", "{header}\nindex 00\n\n{checkpoint}", "{header}\nindex -1\n\n{checkpoint}",
      "{header}\nindex 0 \n\n{checkpoint}", "{header}\nindex 0\n{checkpoint}", "{header}\nindex 0\n\n\n{checkpoint}",
      "{header}\nindex 0\nAAAA\n\n{checkpoint}",
      "{header}\nextra\nindex 0\n\n{checkpoint}", "{header}\nextra \nindex 0\n\n{checkpoint}", "{header}\nextra !\nindex 0\n\n{checkpoint}",
      "{header}\nextra AAAA\n\n{checkpoint}", "{header}\nextra AAAA\nextra AAAA\nindex 0\n\n{checkpoint}",
      "{header}\nindex 0\nextra AAAA\n\n{checkpoint}", "{header}\nindex 0\n\n", "{header}\nindex 0\n\nx\n",
      "{header}\r\nindex 0\n\n{checkpoint}", "{header}\nindex 18446744073709551616\n\n{checkpoint}",
    ])
  func malformedReceipts(_ text: String) throws {
    #expect(throws: Never.self) { _ = try TlogProof(try filled("{header}\nextra AAAA\nindex 0\n{hash}\n\n{checkpoint}").utf8) }
    #expect(code { _ = try TlogProof(try filled(text).utf8) } == .malformed)
  }

  @Test("a witness request is read as it was written, and its proof verifies")
  func requests() throws {
    for oldSize: UInt64 in [0, 1, 255, 256, 300] {
      let proof = try ConsistencyProof(oldSize: oldSize, newSize: 300, reading: stored)
      let request = try AddCheckpointRequest(proof: proof, checkpoint: checkpoint())
      let read = try AddCheckpointRequest(request.bytes)
      #expect(read == request)
      #expect(request.description.hasPrefix("old \(oldSize)\n"))
      try read.proof.verify(oldRoot: try stored.root(size: oldSize), newRoot: read.checkpoint.checkpoint.root)
    }
    let short = ConsistencyProof(oldSize: 0, newSize: 299, path: [])
    #expect(code { _ = try AddCheckpointRequest(proof: short, checkpoint: try checkpoint()) } == .outOfRange)
    #expect(code { _ = try AddCheckpointRequest("old 301\n\n\(try checkpoint())".utf8) } == .outOfRange)
  }

  @Test(
    "a witness request that breaks a rule is refused",
    arguments: [
      "", "old", "old 0", "old 0\n", "old 0\n\n", "old 0\n{checkpoint}", "old 00\n\n{checkpoint}", "old -1\n\n{checkpoint}",
      "old 1 \n\n{checkpoint}", "new 0\n\n{checkpoint}", "old 0\n\n\n{checkpoint}",
      "old 1\nAAAA\n\n{checkpoint}", "old 1\n{hash}\n\n", "old 0\r\n\r\n{checkpoint}", " old 0\n\n{checkpoint}",
    ])
  func malformedRequests(_ text: String) throws {
    #expect(throws: Never.self) { _ = try AddCheckpointRequest(try filled("old 1\n{hash}\n\n{checkpoint}").utf8) }
    #expect(code { _ = try AddCheckpointRequest(try filled(text).utf8) } == .malformed)
  }

  @Test("a witness request takes 63 hashes and no more")
  func limit() throws {
    let line = TreeHash.emptyTree.base64 + "\n"
    func request(_ count: Int) throws -> [UInt8] { Array("old 1\n\(String(repeating: line, count: count))\n\(try checkpoint())".utf8) }
    #expect(try AddCheckpointRequest(request(63)).path.count == 63)
    #expect(code { _ = try AddCheckpointRequest(try request(64)) } == .malformed)
  }
}
