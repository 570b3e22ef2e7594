/// A named public key, a "vkey" of C2SP signed-note: `<name>+<id in hex>+<base64 of type and key>`.
public struct VerifierKey: Hashable, Sendable, CustomStringConvertible {
  public let name: String
  public let kind: SignatureKind
  /// 32 bytes.
  public let publicKey: [UInt8]
  /// The first 4 bytes, big-endian, of SHA-256 over the name, a newline, the type and the public key.
  public let id: UInt32

  /// - Throws: `.malformed` for an invalid name, `.keyUnusable` unless the key has 32 bytes.
  public init(name: String, kind: SignatureKind, publicKey: [UInt8]) throws(EvidenceError) {
    try KeyName.check(name)
    guard publicKey.count == Ed25519.keyBytes else {
      throw EvidenceError(.keyUnusable, "verifier key: an Ed25519 key has 32 bytes, got \(publicKey.count)")
    }
    self.name = name
    self.kind = kind
    self.publicKey = publicKey
    id = VerifierKey.id(name: name, kind: kind, publicKey: publicKey)
  }

  /// Parses what `description` returns.
  ///
  /// - Throws: `.malformed` if the text is not a vkey or its id does not match the key; `.keyUnusable` for an unknown type.
  public init(_ vkey: String) throws(EvidenceError) {
    // Only the first two plus signs separate; the base64 may contain more.
    let parts = vkey.utf8.split(separator: UInt8(ascii: "+"), maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, let name = String(parts[0]), let id = Hex.decode(parts[1]), id.count == 4,
      let data = Base64.decode(parts[2]), let type = data.first
    else {
      throw EvidenceError(.malformed, "verifier key: \(EvidenceError.quote(vkey.utf8)) is not <name>+<8 hex digits>+<base64>")
    }
    try self.init(name: name, kind: SignatureKind(byte: type), publicKey: Array(data.dropFirst()))
    guard UInt64(bigEndianBytes: id) == self.id else {
      throw EvidenceError(
        .malformed, "verifier key: the text of \(name) has id \(Hex.encode(id)), but the key's id is \(Hex.encode(idBytes))")
    }
  }

  /// The vkey, without a newline.
  public var description: String { "\(name)+\(Hex.encode(idBytes))+\(Base64.encode([kind.rawValue] + publicKey))" }

  /// Whether `signature` claims this key, by name and id.
  public func matches(_ signature: NoteSignature) -> Bool {
    id == signature.keyID && name.utf8.elementsEqual(signature.keyName.utf8)
  }

  /// Verifies a signature of this key over `text`.
  ///
  /// - Throws: `.badSignature`.
  func verify(_ signature: NoteSignature, over text: String) throws(EvidenceError) -> VerifiedSignature {
    let verified: VerifiedSignature
    let signedBytes: [UInt8]
    switch kind {
    case .ed25519:
      verified = VerifiedSignature(key: self, time: nil)
      signedBytes = Array(text.utf8)
    case .cosignature:
      let time = UInt64(bigEndianBytes: signature.bytes.prefix(8))
      verified = VerifiedSignature(key: self, time: time)
      signedBytes = Cosignature.statement(text: text, time: time)
    }
    guard Ed25519.isValid(signature.bytes.dropFirst(kind == .cosignature ? 8 : 0), over: signedBytes, publicKey: publicKey) else {
      throw EvidenceError(.badSignature, "note: the signature of \(name) (key \(Hex.encode(idBytes))) is invalid for this text")
    }
    return verified
  }

  private var idBytes: [UInt8] { Array(UInt64(id).bigEndianBytes.suffix(4)) }

  private static func id(name: String, kind: SignatureKind, publicKey: [UInt8]) -> UInt32 {
    let hash = TreeHash.sha256(Array(name.utf8) + [UInt8(ascii: "\n"), kind.rawValue] + publicKey)
    return UInt32(UInt64(bigEndianBytes: hash.bytes.prefix(4)))
  }
}
