/// The type of a key, which says what it signs. The type's byte is part of the key's id, so a key of one type is never accepted as the
/// other.
public enum SignatureKind: UInt8, Hashable, Sendable {
  /// Signs the note's text. For the keys of logs.
  case ed25519 = 0x01
  /// Signs a statement, with a time, that a checkpoint is the largest one seen (C2SP tlog-cosignature, v1). For the keys of witnesses.
  case cosignature = 0x04

  init(byte: UInt8) throws(EvidenceError) {
    guard let kind = SignatureKind(rawValue: byte) else {
      throw EvidenceError(.keyUnusable, "key: unknown signature type \(byte); use 1 (Ed25519) or 4 (Ed25519 cosignature)")
    }
    self = kind
  }
}
