/// A public key under a name (C2SP signed-note "vkey"): `<name>+<id in hex>+<base64 of type and key>`.
public struct VerifierKey: Hashable, Sendable, CustomStringConvertible {
  public let name: String
  public let kind: SignatureKind
  /// 32 bytes.
  public let publicKey: [UInt8]
  /// First four bytes of SHA-256(name, newline, type, public key).
  public let id: UInt32

  /// - Throws: `.malformed` when the name cannot be one, `.keyUnusable` unless the key has 32 bytes.
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

  /// Reads what `description` writes.
  ///
  /// - Throws: `.malformed` when it is no vkey or its id is not that of the key, `.keyUnusable` when its type is not known here.
  public init(_ vkey: String) throws(EvidenceError) {
    // The base64 may contain plus signs too: only the first two separate.
    let parts = vkey.utf8.split(separator: UInt8(ascii: "+"), maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, let name = String(parts[0]), let id = Hex.decode(parts[1]), id.count == 4,
      let data = Base64.decode(parts[2]), let type = data.first
    else {
      throw EvidenceError(.malformed, "verifier key: \(EvidenceError.quote(vkey.utf8)) is not <name>+<8 hex digits>+<base64>")
    }
    try self.init(name: name, kind: SignatureKind(byte: type), publicKey: Array(data.dropFirst()))
    guard UInt64(bigEndianBytes: id) == self.id else {
      throw EvidenceError(.malformed, "verifier key: \(name) says that its id is \(Hex.encode(id)), the key's is \(Hex.encode(idBytes))")
    }
  }

  /// The key as a line of text.
  public var description: String { "\(name)+\(Hex.encode(idBytes))+\(Base64.encode([kind.rawValue] + publicKey))" }

  /// Whether name and id are those of `signature`'s key.
  public func matches(_ signature: NoteSignature) -> Bool {
    id == signature.keyID && name.utf8.elementsEqual(signature.keyName.utf8)
  }

  /// Whether the signature is this key's over `text`; for a cosignature also the time in it.
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
      throw EvidenceError(.badSignature, "note: the signature of \(name) (key \(Hex.encode(idBytes))) is not over this text")
    }
    return verified
  }

  private var idBytes: [UInt8] { Array(UInt64(id).bigEndianBytes.suffix(4)) }

  private static func id(name: String, kind: SignatureKind, publicKey: [UInt8]) -> UInt32 {
    let hash = TreeHash.sha256(Array(name.utf8) + [UInt8(ascii: "\n"), kind.rawValue] + publicKey)
    return UInt32(UInt64(bigEndianBytes: hash.bytes.prefix(4)))
  }
}
