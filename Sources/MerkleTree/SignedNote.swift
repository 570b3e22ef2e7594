/// A text and signatures over it (C2SP signed-note).
public struct SignedNote: Hashable, Sendable, CustomStringConvertible {
  /// Maximum bytes of a note.
  public static let maxBytes = 1_000_000
  /// Maximum number of signatures of a note.
  public static let maxSignatures = 100

  /// The signed text. Ends in a newline.
  public let text: String
  public private(set) var signatures: [NoteSignature]

  /// Makes a note without signatures.
  ///
  /// - Throws: `.malformed` if the text does not end in a newline, or has control characters other than newline.
  public init(text: String) throws(EvidenceError) {
    guard text.utf8.last == UInt8(ascii: "\n") else { throw EvidenceError(.malformed, "note: the text does not end in a newline") }
    try SignedNote.checkCharacters(text.utf8)
    self.text = text
    signatures = []
  }

  /// Parses a note. Verifies no signature.
  ///
  /// - Throws: `.malformed` unless it is UTF-8 without control characters, has an empty line and at least one signature line after its
  ///   text, and is within the limits.
  public init(_ bytes: some Collection<UInt8>) throws(EvidenceError) {
    guard bytes.count <= SignedNote.maxBytes else {
      throw EvidenceError(.malformed, "note: \(bytes.count) bytes are more than \(SignedNote.maxBytes)")
    }
    let bytes = Array(bytes)
    try SignedNote.checkCharacters(bytes)
    // Signatures follow the last empty line; the text may contain empty lines.
    let newline = UInt8(ascii: "\n")
    guard let end = bytes.indices.last(where: { $0 > 0 && bytes[$0] == newline && bytes[$0 - 1] == newline }) else {
      throw EvidenceError(.malformed, "note: no empty line separates the text from its signatures")
    }
    guard let text = String(validating: bytes[..<end], as: UTF8.self) else { throw EvidenceError(.malformed, "note: not valid UTF-8") }
    self.text = text
    signatures = try NoteSignature.lines(bytes[(end + 1)...])
  }

  /// Adds a signature without verifying it. It replaces an earlier signature of the same key.
  public mutating func add(_ signature: NoteSignature) {
    signatures.removeAll { $0.keyID == signature.keyID && $0.keyName.utf8.elementsEqual(signature.keyName.utf8) }
    signatures.append(signature)
  }

  /// Signs with each key. During a key change, sign with both: then either key verifies the note.
  ///
  /// - Throws: `.keyUnusable` for a key that is not of kind `.ed25519`.
  public mutating func sign(with keys: [SignerKey]) throws(EvidenceError) {
    for key in keys { add(try key.sign(text)) }
  }

  /// Verifies the signatures of `keys`. Signatures of other keys are ignored.
  ///
  /// - Returns: one signature for each key that has signed, in the order of the note; may be empty.
  /// - Throws: `.badSignature` if a signature of one of `keys` is invalid. The caller must then reject the note.
  public func verifiedSignatures(of keys: [VerifierKey]) throws(EvidenceError) -> [VerifiedSignature] {
    var verified: [VerifiedSignature] = []
    for signature in signatures {
      guard let key = keys.first(where: { $0.matches(signature) }) else { continue }
      let result = try key.verify(signature, over: text)
      if !verified.contains(where: { $0.key == key }) { verified.append(result) }
    }
    return verified
  }

  /// Like `verifiedSignatures`, but requires at least one signature.
  ///
  /// - Throws: `.unsigned` if none of the keys has signed; `.badSignature`.
  public func verify(with keys: [VerifierKey]) throws(EvidenceError) -> [VerifiedSignature] {
    let verified = try verifiedSignatures(of: keys)
    guard !verified.isEmpty else {
      let names = keys.map(\.description).joined(separator: ", ")
      throw EvidenceError(.unsigned, "note: none of its \(signatures.count) signatures is by a known key (known: \(names))")
    }
    return verified
  }

  /// The encoded note: the text, an empty line, the signature lines.
  public var description: String { text + "\n" + signatures.map { "\($0)\n" }.joined() }

  /// The bytes of `description`.
  public var bytes: [UInt8] { Array(description.utf8) }

  private static func checkCharacters(_ bytes: some Collection<UInt8>) throws(EvidenceError) {
    guard let bad = bytes.first(where: { $0 < 0x20 && $0 != UInt8(ascii: "\n") }) else { return }
    throw EvidenceError(.malformed, "note: control character \(bad) is not allowed")
  }
}
