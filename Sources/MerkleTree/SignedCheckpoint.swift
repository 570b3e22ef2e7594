/// A checkpoint with the signatures of its log and of witnesses.
public struct SignedCheckpoint: Hashable, Sendable, CustomStringConvertible {
  public let checkpoint: Checkpoint
  /// The note whose text is `checkpoint`.
  public private(set) var note: SignedNote

  /// Signs a checkpoint as its log: with one key, or with the old and the new key during a key change.
  ///
  /// - Throws: `.keyUnusable` without a key, or if a key is not of kind `.ed25519` or is not named like the checkpoint's origin.
  public init(_ checkpoint: Checkpoint, signedBy keys: [SignerKey]) throws(EvidenceError) {
    guard !keys.isEmpty else { throw EvidenceError(.keyUnusable, "checkpoint: no signing key was given") }
    for key in keys where !key.verifier.name.utf8.elementsEqual(checkpoint.origin.utf8) {
      throw EvidenceError(.keyUnusable, "checkpoint: the key \(key.verifier) is not named like the origin \(checkpoint.origin)")
    }
    self.checkpoint = checkpoint
    note = try SignedNote(text: checkpoint.text)
    try note.sign(with: keys)
  }

  /// Parses a note whose text is a checkpoint. Verifies no signature.
  ///
  /// - Throws: `.malformed`.
  public init(_ bytes: some Collection<UInt8>) throws(EvidenceError) {
    note = try SignedNote(bytes)
    checkpoint = try Checkpoint(text: note.text)
  }

  /// Verifies that the log has signed, and finds the witnesses that have cosigned.
  ///
  /// - Parameters:
  ///   - origin: the log's name.
  ///   - logKeys: the log's keys, of kind `.ed25519` and named like the origin. One valid signature is enough.
  ///   - witnessKeys: keys of kind `.cosignature`. None is required to have signed.
  /// - Returns: all valid signatures of these keys.
  /// - Throws: `.wrongOrigin`, `.unsigned`, `.badSignature`, or `.keyUnusable` for a key of the wrong kind or name.
  @discardableResult
  public func verify(
    origin: String, logKeys: [VerifierKey], witnessKeys: [VerifierKey] = []
  ) throws(EvidenceError) -> [VerifiedSignature] {
    guard checkpoint.origin.utf8.elementsEqual(origin.utf8) else {
      throw EvidenceError(.wrongOrigin, "checkpoint: its origin is \(EvidenceError.quote(checkpoint.origin.utf8)), not \(origin)")
    }
    for key in logKeys where key.kind != .ed25519 || !key.name.utf8.elementsEqual(origin.utf8) {
      throw EvidenceError(.keyUnusable, "checkpoint: \(key) is not a key of type 1 named \(origin)")
    }
    for key in witnessKeys where key.kind != .cosignature {
      throw EvidenceError(.keyUnusable, "checkpoint: the witness's key \(key) is not of type 4")
    }
    return try note.verify(with: logKeys) + note.verifiedSignatures(of: witnessKeys)
  }

  /// Adds a witness's signature without verifying it; `verify` does.
  public mutating func add(_ signature: NoteSignature) { note.add(signature) }

  public var description: String { note.description }

  /// The encoded note, as a log serves it at `<prefix>/checkpoint`.
  public var bytes: [UInt8] { note.bytes }
}
