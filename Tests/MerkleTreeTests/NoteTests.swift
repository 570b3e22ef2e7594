import MerkleTree
import Testing

struct NoteTests {
  private static let sampleKey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
  private static let sample =

    "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZ"
    + "XsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"

  private func key(_ name: String, _ byte: UInt8, _ kind: SignatureKind = .ed25519) throws -> SignerKey {
    try SignerKey(name: name, kind: kind, seed: [UInt8](repeating: byte, count: 32))
  }

  @Test("the specification's sample note verifies, and is written again byte for byte")
  func sample() throws {
    let key = try VerifierKey(NoteTests.sampleKey)
    #expect(key.description == NoteTests.sampleKey)
    let note = try SignedNote(NoteTests.sample.utf8)
    #expect(note.text == "This is an example message.\n")
    #expect(try note.verify(with: [key]).map(\.key) == [key])
    #expect(note.description == NoteTests.sample)
    let changed = try SignedNote(NoteTests.sample.replacing("example message", with: "exemple message").utf8)
    #expect(code { _ = try changed.verify(with: [key]) } == .badSignature)
  }

  @Test("signing is RFC 8032's: the first test vector's key and signature")
  func rfc8032() throws {
    let seed = hexBytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    let key = try SignerKey(name: "a", kind: .ed25519, seed: seed)
    #expect(key.verifier.publicKey == hexBytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))
    #expect(
      try key.sign("").bytes
        == hexBytes(
          "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ))
  }

  private func hexBytes(_ hex: String) -> [UInt8] {
    stride(from: 0, to: hex.utf8.count, by: 2).map { UInt8(hex.dropFirst($0).prefix(2), radix: 16)! }
  }

  @Test(
    "a note that breaks a rule is refused",
    arguments: [
      "", "\n", "\n\n", "text\n", "text\n\n", "text\n\n\n", "text\n\u{2014} a AAAAAAA=\n", "text\n\n\u{2014} a AAAAAAA=",
      "text\n\n- a AAAAAAA=\n",
      "text\n\n\u{2014} a\n", "text\n\n\u{2014}  AAAAAAA=\n", "text\n\n\u{2014} a  AAAAAAA=\n", "text\n\n\u{2014} a b AAAAAAA=\n",
      "text\n\n\u{2014} a AAAAAAA= \n", "text\n\n\u{2014} a+b AAAAAAA=\n", "text\n\n\u{2014} a\u{A0}b AAAAAAA=\n",
      "text\n\n\u{2014} a\u{2028}b AAAAAAA=\n",
      "text\n\n\u{2014} a AAAAAA==\n", "text\n\n\u{2014} a AAAAAAA\n", "text\n\n\u{2014} a AAAAAAB=\n", "text\n\n\u{2014} a AAAA-AA=\n",
      "text\n\n\u{2014} a AAAAAAA=\r\n", "te\txt\n\n\u{2014} a AAAAAAA=\n", "te\0xt\n\n\u{2014} a AAAAAAA=\n",
      "text\n\n\u{2014} a AAAAAAA=\nmore\n",
      "text\n\n\u{2014}a AAAAAAA=\n", "text\n\n \u{2014} a AAAAAAA=\n", "text\n\n\u{2014} a AAAA=AA=\n", "text\n\n\u{2014} a AAAA====\n",
    ])
  func malformed(_ note: String) {
    #expect(throws: Never.self) { _ = try SignedNote("text\n\n\u{2014} a AAAAAAA=\n".utf8) }
    #expect(code { _ = try SignedNote(note.utf8) } == .malformed)
  }

  @Test("bytes that are not UTF-8, too many signatures and too long notes are refused")
  func limits() throws {
    let line = "\u{2014} a AAAAAAA=\n"
    #expect(code { _ = try SignedNote([0xFF] + Array("text\n\n\(line)".utf8)) } == .malformed)
    let badName = Array("text\n\n\u{2014} ".utf8) + [0xC3, 0x28] + Array(" AAAAAAA=\n".utf8)
    #expect(code { _ = try SignedNote(badName) } == .malformed)
    let most = "text\n\n" + String(repeating: line, count: SignedNote.maxSignatures)
    #expect(try SignedNote(most.utf8).signatures.count == 100)
    #expect(code { _ = try SignedNote((most + line).utf8) } == .malformed)
    #expect(code { _ = try SignedNote((String(repeating: "x", count: SignedNote.maxBytes) + "\n\n" + line).utf8) } == .malformed)
    #expect(code { _ = try SignedNote(text: "no newline") } == .malformed)
    #expect(code { _ = try SignedNote(text: "tab\t\n") } == .malformed)
  }

  @Test("the text ends at the last empty line and may have others")
  func emptyLines() throws {
    let signer = try key("example.com/a", 1)
    var note = try SignedNote(text: "one\n\ntwo\n\n\nthree\n")
    try note.sign(with: [signer])
    let read = try SignedNote(note.bytes)
    #expect(read == note)
    #expect(read.text == "one\n\ntwo\n\n\nthree\n")
    #expect(throws: Never.self) { _ = try read.verify(with: [signer.verifier]) }
  }

  @Test("unknown keys are passed over, also those that share a name or an id; one bad signature of a known key rejects the note")
  func knownAndUnknown() throws {
    let old = try key("log.example", 1)
    let new = try key("log.example", 2)
    let other = try key("other.example", 3)
    var note = try SignedNote(text: "text\n")
    try note.sign(with: [old, new, other])
    for keys in [[old], [new], [old, new], [other]] {
      #expect(try note.verify(with: keys.map(\.verifier)).map(\.key) == keys.map(\.verifier))
    }
    #expect(code { _ = try note.verify(with: [try key("log.example", 4).verifier]) } == .unsigned)
    #expect(code { _ = try note.verify(with: []) } == .unsigned)
    // The old key's line now carries the signature of another text.
    note.add(try old.sign("another text\n"))
    #expect(note.signatures.count == 3)
    #expect(code { _ = try note.verify(with: [old.verifier, new.verifier]) } == .badSignature)
    #expect(try note.verify(with: [new.verifier]).count == 1)
    // A second line of the same key that is bad is not hidden by the first.
    let twice = "text\n\n\(try new.sign("text\n"))\n\(try new.sign("x\n"))\n"
    #expect(code { _ = try SignedNote(twice.utf8).verify(with: [new.verifier]) } == .badSignature)
  }

  @Test("names are compared as bytes, not as characters")
  func canonicalEquivalence() throws {
    let composed = try key("caf\u{E9}.example", 1)
    let decomposed = try NoteSignature.lines("\u{2014} cafe\u{301}.example AAAAAAA=\n".utf8)[0]
    #expect(composed.verifier.name == decomposed.keyName)
    #expect(!composed.verifier.matches(decomposed))
  }

  @Test("a verifier key is split at its first two plus signs only")
  func plusSigns() throws {
    var found = 0
    for byte: UInt8 in 0...255 {
      let verifier = try key("example.com/x", byte).verifier
      found += verifier.description.split(separator: "+").count > 3 ? 1 : 0
      #expect(try VerifierKey(verifier.description) == verifier)
    }
    #expect(found > 0)
  }

  @Test(
    "a verifier key that breaks a rule is refused",
    arguments: [
      "", "a", "a+530d903a", "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
      "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
      "example.com/fo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
      "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
      "example.com/foo+30d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
      "example.com/foo+0530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
      "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k=",
      "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n",
      "example.com/foo +530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "example.com/foo+530d903a+",
    ])
  func malformedKeys(_ vkey: String) {
    #expect(code { _ = try VerifierKey(vkey) } == .malformed)
  }

  @Test(
    "a key of an unknown type or length is named unusable",
    arguments: [
      "example.com/foo+530d903a+BukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "example.com/foo+530d903a+Aeky",
    ])
  func unusableKeys(_ vkey: String) {
    #expect(code { _ = try VerifierKey(vkey) } == .keyUnusable)
  }

  @Test("a private key is read as it was written, and is not printed by accident")
  func privateKeys() throws {
    for kind in [SignatureKind.ed25519, .cosignature] {
      let signer = try SignerKey.generate(name: "log.example", kind: kind)
      let encoded = signer.encoded
      #expect(encoded.hasPrefix("PRIVATE+KEY+log.example+"))
      let secret = encoded.split(separator: "+", maxSplits: 4).last.map(String.init)!
      for text in ["\(signer)", String(reflecting: signer)] { #expect(!text.contains(secret)) }
      let read = try SignerKey(encoded: encoded)
      #expect(read.verifier == signer.verifier)
      #expect(read.encoded == encoded)
      #expect(code { _ = try SignerKey(encoded: String(encoded.dropFirst(8))) } == .malformed)
      #expect(code { _ = try SignerKey(encoded: encoded.replacing("log.example", with: "log.exampel")) } == .malformed)
    }
    #expect(try SignerKey.generate(name: "a", kind: .ed25519).verifier != SignerKey.generate(name: "a", kind: .ed25519).verifier)
    #expect(code { _ = try SignerKey(name: "a", kind: .ed25519, seed: [1]) } == .keyUnusable)
    #expect(code { _ = try SignerKey(name: "a b", kind: .ed25519, seed: [UInt8](repeating: 0, count: 32)) } == .malformed)
  }
}
