/// A checkpoint with its signatures: the log's own and those of witnesses.
public struct SignedCheckpoint: Hashable, Sendable, CustomStringConvertible {
  public let checkpoint: Checkpoint
  public private(set) var note: SignedNote

  /// Signs as a log: with one key, or with the old and the new one while they change.
  ///
  /// - Throws: `.keyUnusable` unless there is a key, every key is of the plain kind and named like the checkpoint's origin.
  public init(_ checkpoint: Checkpoint, signedBy keys: [SignerKey]) throws(EvidenceError) {
    guard !keys.isEmpty else { throw EvidenceError(.keyUnusable, "checkpoint: there is no key to sign it with") }
    for key in keys where !key.verifier.name.utf8.elementsEqual(checkpoint.origin.utf8) {
      throw EvidenceError(.keyUnusable, "checkpoint: the key \(key.verifier) is not named like the origin \(checkpoint.origin)")
    }
    self.checkpoint = checkpoint
    note = try SignedNote(text: checkpoint.text)
    try note.sign(with: keys)
  }

  /// Reads a note whose text is a checkpoint; verifies no signature.
  ///
  /// - Throws: `.malformed`.
  public init(_ bytes: some Collection<UInt8>) throws(EvidenceError) {
    note = try SignedNote(bytes)
    checkpoint = try Checkpoint(text: note.text)
  }

  /// Verifies that the log of this name has signed, and which witnesses have.
  ///
  /// - Parameters:
  ///   - logKeys: the log's keys, of the plain kind and named like the origin. One good signature is enough.
  ///   - witnessKeys: keys of the cosignature kind. None needs to have signed.
  /// - Returns: all good signatures of these keys.
  /// - Throws: `.wrongOrigin`, `.unsigned`, `.badSignature`, `.keyUnusable` when a key is of the wrong kind or name.
  @discardableResult
  public func verify(
    origin: String, logKeys: [VerifierKey], witnessKeys: [VerifierKey] = []
  ) throws(EvidenceError) -> [VerifiedSignature] {
    guard checkpoint.origin.utf8.elementsEqual(origin.utf8) else {
      throw EvidenceError(.wrongOrigin, "checkpoint: it is of \(EvidenceError.quote(checkpoint.origin.utf8)), not of \(origin)")
    }
    for key in logKeys where key.kind != .ed25519 || !key.name.utf8.elementsEqual(origin.utf8) {
      throw EvidenceError(.keyUnusable, "checkpoint: \(key) is not a key of type 1 named \(origin)")
    }
    for key in witnessKeys where key.kind != .cosignature {
      throw EvidenceError(.keyUnusable, "checkpoint: the witness' key \(key) is not of type 4")
    }
    return try note.verify(with: logKeys) + note.verifiedSignatures(of: witnessKeys)
  }

  /// Adds a witness' signature, as it was received; it is verified with all others.
  public mutating func add(_ signature: NoteSignature) { note.add(signature) }

  public var description: String { note.description }

  /// What is served as `<prefix>/checkpoint`.
  public var bytes: [UInt8] { note.bytes }
}
