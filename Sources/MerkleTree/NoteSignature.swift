/// A signature line of a signed note: the claimed key, and the signature. Not verified.
public struct NoteSignature: Hashable, Sendable, CustomStringConvertible {
  /// Name of the claimed key.
  public let keyName: String
  /// Id of the claimed key; see `VerifierKey.id`.
  public let keyID: UInt32
  /// The bytes after the key's id. Their format depends on the key's kind.
  public let bytes: [UInt8]

  init(key: VerifierKey, bytes: [UInt8]) {
    keyName = key.name
    keyID = key.id
    self.bytes = bytes
  }

  /// Parses a line without its newline.
  ///
  /// - Throws: `.malformed`.
  init(line: ArraySlice<UInt8>) throws(EvidenceError) {
    let parts = line.dropping(prefix: "\u{2014} ")?
      .split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard let parts, parts.count == 2, let name = String(validating: parts[0], as: UTF8.self), KeyName.isValid(name),
      let data = Base64.decode(parts[1]), data.count > 4
    else {
      throw EvidenceError(.malformed, "note: \(EvidenceError.quote(line)) is not a signature line (dash, key name, base64)")
    }
    keyName = name
    keyID = UInt32(UInt64(bigEndianBytes: data.prefix(4)))
    bytes = Array(data.dropFirst(4))
  }

  /// Parses signature lines, each with a newline, such as a witness's answer.
  ///
  /// - Throws: `.malformed`, also for no line or more than `SignedNote.maxSignatures`.
  public static func lines(_ bytes: some Collection<UInt8>) throws(EvidenceError) -> [NoteSignature] {
    guard bytes.count <= SignedNote.maxBytes else {
      throw EvidenceError(.malformed, "note: \(bytes.count) bytes of signatures are more than \(SignedNote.maxBytes)")
    }
    var reader = NoteLines(Array(bytes)[...])
    var signatures: [NoteSignature] = []
    while let line = reader.next() {
      guard signatures.count < SignedNote.maxSignatures else {
        throw EvidenceError(.malformed, "note: more than \(SignedNote.maxSignatures) signatures")
      }
      signatures.append(try NoteSignature(line: line))
    }
    guard reader.rest.isEmpty else { throw EvidenceError(.malformed, "note: the last signature line does not end in a newline") }
    guard !signatures.isEmpty else { throw EvidenceError(.malformed, "note: no signature line") }
    return signatures
  }

  /// The line, without its newline.
  public var description: String {
    "\u{2014} \(keyName) \(Base64.encode(UInt64(keyID).bigEndianBytes.suffix(4) + bytes))"
  }
}
