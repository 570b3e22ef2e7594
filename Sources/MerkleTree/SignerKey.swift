/// A named private key. Printing it does not reveal the secret; `encoded` does.
public struct SignerKey: Sendable, CustomStringConvertible, CustomReflectable {
  /// The public key.
  public let verifier: VerifierKey
  private let seed: [UInt8]

  private static let prefix: StaticString = "PRIVATE+KEY+"

  /// - Parameters:
  ///   - name: the key's name: not empty, no space, control character or plus sign.
  ///   - seed: 32 secret bytes.
  /// - Throws: `.malformed` for an invalid name, `.keyUnusable` unless the seed has 32 bytes.
  public init(name: String, kind: SignatureKind, seed: [UInt8]) throws(EvidenceError) {
    verifier = try VerifierKey(name: name, kind: kind, publicKey: Ed25519.publicKey(seed: seed))
    self.seed = seed
  }

  /// Makes a new key with libcrypto's random generator.
  ///
  /// - Throws: `.malformed` for an invalid name, `.keyUnusable` if the generator fails.
  public static func generate(name: String, kind: SignatureKind) throws(EvidenceError) -> SignerKey {
    try SignerKey(name: name, kind: kind, seed: Ed25519.randomSeed())
  }

  /// Decodes a key from `encoded`.
  ///
  /// - Throws: `.malformed`, or `.keyUnusable` for an unknown type. The message never contains the secret.
  public init(encoded text: String) throws(EvidenceError) {
    let malformed = EvidenceError(.malformed, "private key: not of the form PRIVATE+KEY+<name>+<8 hex digits>+<base64>")
    guard let rest = Array(text.utf8).dropping(prefix: SignerKey.prefix) else { throw malformed }
    let parts = rest.split(separator: UInt8(ascii: "+"), maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, let name = String(validating: parts[0], as: UTF8.self), let data = Base64.decode(parts[2]),
      let type = data.first
    else { throw malformed }
    try self.init(name: name, kind: SignatureKind(byte: type), seed: Array(data.dropFirst()))
    guard let id = Hex.decode(parts[1]), id.count == 4, UInt64(bigEndianBytes: id) == verifier.id else {
      throw EvidenceError(.malformed, "private key: the id in the text of \(name) does not match the key")
    }
  }

  /// The key with its secret, in the format of Go's sumdb/note: `PRIVATE+KEY+<name>+<id in hex>+<base64 of type and seed>`.
  public var encoded: String {
    "\(SignerKey.prefix)\(verifier.name)+\(Hex.encode(UInt64(verifier.id).bigEndianBytes.suffix(4)))+"
      + Base64.encode([verifier.kind.rawValue] + seed)
  }

  public var description: String { "private key of \(verifier)" }

  public var customMirror: Mirror { Mirror(self, children: ["verifier": verifier]) }

  /// Signs a note's text.
  ///
  /// - Throws: `.keyUnusable` when the key is a witness' (`.cosignature`), which only signs with a time.
  public func sign(_ text: String) throws(EvidenceError) -> NoteSignature {
    guard verifier.kind == .ed25519 else {
      throw EvidenceError(.keyUnusable, "\(verifier.name): a cosignature key cannot sign a note's text; use a key of type 1")
    }
    return NoteSignature(key: verifier, bytes: try Ed25519.sign(Array(text.utf8), seed: seed))
  }

  /// Signs the statement that `checkpoint` is the largest one seen of its origin at `time`.
  ///
  /// The caller must first verify the checkpoint's signature, and its consistency with the checkpoint cosigned before.
  ///
  /// - Parameter time: Unix time in seconds, greater than 0.
  /// - Throws: `.keyUnusable` unless the key's kind is `.cosignature`; `.outOfRange` if the time is 0.
  public func cosign(_ checkpoint: Checkpoint, time: UInt64) throws(EvidenceError) -> NoteSignature {
    guard verifier.kind == .cosignature else {
      throw EvidenceError(.keyUnusable, "\(verifier.name): a key of type \(verifier.kind.rawValue) cannot cosign; use a key of type 4")
    }
    guard time > 0 else { throw EvidenceError(.outOfRange, "cosignature: the time must not be 0") }
    let signature = try Ed25519.sign(Cosignature.statement(text: checkpoint.text, time: time), seed: seed)
    return NoteSignature(key: verifier, bytes: time.bigEndianBytes + signature)
  }
}
