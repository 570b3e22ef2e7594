import MerkleTree
import Testing

struct CheckpointTests {
  private static let origin = "hubaudit.example/demo"
  private static let demo =
    "hubaudit.example/demo\n70000\nSetbsr+kDfnOsfkN53+XtlnD6O006VHSKx5qKVKBi8w=\n\n\u{2014} hubaudit.example/demo "
    + "Q/Cj8bUbGKezHltjgtRfQ+oRnuwkJZYEgegXOR+r4OQRkWuopax37+sg+hrh2TDhmhM9Cp5G4VoHgEOmJcYNyWSs5QM=\n"

  private func demoKey() throws -> SignerKey {
    try SignerKey(name: CheckpointTests.origin, kind: .ed25519, seed: TreeHash.sha256(Array("demo log key".utf8)).bytes)
  }

  private func witnessKey(_ byte: UInt8) throws -> SignerKey {
    try SignerKey(name: "witness.example/w\(byte)", kind: .cosignature, seed: [UInt8](repeating: byte, count: 32))
  }

  @Test("the demo log's checkpoint is made byte for byte, and verifies")
  func demo() throws {
    let key = try demoKey()
    #expect(key.verifier.description == "hubaudit.example/demo+43f0a3f1+AUU9zP+mY6t/L1ps4JaouUzW37dk+JKds+jmmAzGFdTD")
    let root = try #require(TreeHash(base64: "Setbsr+kDfnOsfkN53+XtlnD6O006VHSKx5qKVKBi8w="))
    let signed = try SignedCheckpoint(Checkpoint(origin: CheckpointTests.origin, size: 70000, root: root), signedBy: [key])
    #expect(signed.description == CheckpointTests.demo)
    let read = try SignedCheckpoint(CheckpointTests.demo.utf8)
    #expect(read == signed)
    #expect(try read.verify(origin: CheckpointTests.origin, logKeys: [key.verifier]).count == 1)
    #expect(code { try read.verify(origin: "hubaudit.example/other", logKeys: [key.verifier]) } == .wrongOrigin)
    for (from, to) in [("70000", "70001"), ("Setb", "Setc"), ("demo\n7", "demo\n1")] {
      let changed = try SignedCheckpoint(CheckpointTests.demo.replacing(from, with: to).utf8)
      #expect(code { try changed.verify(origin: CheckpointTests.origin, logKeys: [key.verifier]) } == .badSignature)
    }
  }

  @Test(
    "a checkpoint that breaks a rule is refused",
    arguments: [
      "", "\n", "a\n", "a\n1\n", "a\n1\nR", "a\n1\nR\n\n", "a\n1\nR\nx\n\ny\n", "\n1\nR\n", "a\n01\nR\n", "a\n00\nR\n", "a\n-1\nR\n",
      "a\n+1\nR\n",
      "a\n1 \nR\n", "a\n\nR\n", "a\n1x\nR\n", "a\n18446744073709551616\nR\n", "a\n1\nR \n", "a\n1\nAAAA\n", "a\n1\n\n",
      "a\n1\n0R\n",
      "a\n1\nR\next", "a\n٣\nR\n", "a\t\n1\nR\n",
    ])
  func malformed(_ text: String) {
    let root = "Setbsr+kDfnOsfkN53+XtlnD6O006VHSKx5qKVKBi8w="
    #expect(throws: Never.self) { _ = try Checkpoint(text: "a\n1\n\(root)\nx\n") }
    #expect(code { _ = try Checkpoint(text: text.replacing("R", with: root)) } == .malformed)
    #expect(code { _ = try Checkpoint(text: "a\n0\n\(root)\n") } == .proofMismatch)
  }

  @Test("the empty log, the largest one, and extension lines come back from their text")
  func roundTrip() throws {
    let root = TreeHash.leaf([1])
    for checkpoint in [
      try Checkpoint(origin: "a", size: 0, root: .emptyTree), try Checkpoint(origin: "a b+c", size: .max, root: root),
      try Checkpoint(origin: "a", size: 1, root: root, extensions: ["one", "two 2"]),
    ] { #expect(try Checkpoint(text: checkpoint.text) == checkpoint) }
    #expect(try Checkpoint(origin: "a", size: 0, root: .emptyTree).text == "a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
    #expect(code { _ = try Checkpoint(origin: "a\nb", size: 1, root: root) } == .malformed)
    #expect(code { _ = try Checkpoint(origin: "a", size: 1, root: root, extensions: [""]) } == .malformed)
  }

  @Test("while keys change, both sign and either is enough")
  func rotation() throws {
    let old = try demoKey()
    let new = try SignerKey(name: CheckpointTests.origin, kind: .ed25519, seed: [UInt8](repeating: 9, count: 32))
    let checkpoint = try Checkpoint(origin: CheckpointTests.origin, size: 1, root: .leaf([1]))
    let signed = try SignedCheckpoint(SignedCheckpoint(checkpoint, signedBy: [old, new]).bytes)
    for keys in [[old.verifier], [new.verifier], [old.verifier, new.verifier]] {
      #expect(try signed.verify(origin: CheckpointTests.origin, logKeys: keys).map(\.key) == keys)
    }
    let before = try SignedCheckpoint(checkpoint, signedBy: [old])
    #expect(code { try before.verify(origin: CheckpointTests.origin, logKeys: [new.verifier]) } == .unsigned)
  }

  @Test("a log's key must be of the plain kind and named like the origin")
  func wrongKeys() throws {
    let checkpoint = try Checkpoint(origin: CheckpointTests.origin, size: 1, root: .leaf([1]))
    let other = try SignerKey(name: "other", kind: .ed25519, seed: [UInt8](repeating: 9, count: 32))
    let witness = try SignerKey(name: CheckpointTests.origin, kind: .cosignature, seed: [UInt8](repeating: 9, count: 32))
    for keys in [[], [other], [witness], [try demoKey(), other]] {
      #expect(code { _ = try SignedCheckpoint(checkpoint, signedBy: keys) } == .keyUnusable)
    }
    let signed = try SignedCheckpoint(checkpoint, signedBy: [try demoKey()])
    #expect(code { try signed.verify(origin: CheckpointTests.origin, logKeys: [other.verifier]) } == .keyUnusable)
    #expect(code { try signed.verify(origin: CheckpointTests.origin, logKeys: [witness.verifier]) } == .keyUnusable)
    #expect(
      code {
        try signed.verify(origin: CheckpointTests.origin, logKeys: [try demoKey().verifier], witnessKeys: [try demoKey().verifier])
      } == .keyUnusable)
  }

  @Test("a cosignature is over its time and the whole text, and gives the time back")
  func cosignature() throws {
    let log = try demoKey()
    let witness = try witnessKey(1)
    let checkpoint = try Checkpoint(origin: CheckpointTests.origin, size: 1, root: .leaf([1]))
    var signed = try SignedCheckpoint(checkpoint, signedBy: [log])
    let cosignature = try witness.cosign(checkpoint, time: 1_700_000_000)
    #expect(cosignature.bytes.count == 72)
    #expect(Array(cosignature.bytes.prefix(8)) == [0, 0, 0, 0, 0x65, 0x53, 0xF1, 0x00])
    // The statement, signed as a plain note, has the same signature: the bytes are the specification's.
    let statement = "cosignature/v1\ntime 1700000000\n\(checkpoint.text)"
    let plain = try SignerKey(name: "x", kind: .ed25519, seed: [UInt8](repeating: 1, count: 32)).sign(statement)
    #expect(plain.bytes == Array(cosignature.bytes.dropFirst(8)))

    signed.add(try NoteSignature.lines("\(cosignature)\n".utf8)[0])
    let verified = try SignedCheckpoint(signed.bytes)
      .verify(origin: CheckpointTests.origin, logKeys: [log.verifier], witnessKeys: [witness.verifier])
    #expect(verified.map(\.time) == [nil, 1_700_000_000])

    // A witness alone does not make a log's checkpoint, and a cosignature of another size is not good.
    var unsigned = try SignedNote(text: checkpoint.text)
    unsigned.add(cosignature)
    let onlyWitness = try SignedCheckpoint(unsigned.bytes)
    let keys = (log: [log.verifier], witness: [witness.verifier])
    #expect(code { try onlyWitness.verify(origin: CheckpointTests.origin, logKeys: keys.log, witnessKeys: keys.witness) } == .unsigned)
    signed.add(try witness.cosign(Checkpoint(origin: CheckpointTests.origin, size: 2, root: .leaf([1])), time: 1))
    #expect(code { try signed.verify(origin: CheckpointTests.origin, logKeys: keys.log, witnessKeys: keys.witness) } == .badSignature)

    #expect(code { _ = try log.cosign(checkpoint, time: 1) } == .keyUnusable)
    #expect(code { _ = try witness.sign(checkpoint.text) } == .keyUnusable)
    #expect(code { _ = try witness.cosign(checkpoint, time: 0) } == .outOfRange)
  }

  @Test(
    "a witness' answer of signature lines is read whole or not at all",
    arguments: [
      "", "\n", "\u{2014} a AAAAAAA=", "\u{2014} a AAAAAAA=\n\n", "x\n",
    ])
  func malformedLines(_ lines: String) {
    #expect(code { _ = try NoteSignature.lines(lines.utf8) } == .malformed)
  }
}
