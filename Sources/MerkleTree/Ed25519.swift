internal import CAuditDigest

/// Ed25519 (RFC 8032) by libcrypto.
enum Ed25519 {
  static let keyBytes = 32
  static let signatureBytes = 64

  static func publicKey(seed: [UInt8]) throws(EvidenceError) -> [UInt8] {
    guard seed.count == keyBytes else { throw EvidenceError(.keyUnusable, "Ed25519: a seed has 32 bytes, got \(seed.count)") }
    var key = [UInt8](repeating: 0, count: keyBytes)
    guard caudit_ed25519_public_key(seed, &key) == 0 else {
      throw EvidenceError(.keyUnusable, "Ed25519: libcrypto rejects this seed")
    }
    return key
  }

  static func sign(_ text: [UInt8], seed: [UInt8]) throws(EvidenceError) -> [UInt8] {
    var signature = [UInt8](repeating: 0, count: signatureBytes)
    guard seed.count == keyBytes, caudit_ed25519_sign(seed, text, text.count, &signature) == 0 else {
      throw EvidenceError(.keyUnusable, "Ed25519: libcrypto cannot sign with this key")
    }
    return signature
  }

  static func isValid(_ signature: some Collection<UInt8>, over text: [UInt8], publicKey: [UInt8]) -> Bool {
    guard signature.count == signatureBytes, publicKey.count == keyBytes else { return false }
    return caudit_ed25519_verify(publicKey, text, text.count, Array(signature)) == 0
  }

  static func randomSeed() throws(EvidenceError) -> [UInt8] {
    var seed = [UInt8](repeating: 0, count: keyBytes)
    guard caudit_random(&seed, seed.count) == 0 else { throw EvidenceError(.keyUnusable, "Ed25519: libcrypto's random generator failed") }
    return seed
  }
}
