/// What a key signs; its byte goes into the key's id, so that one key cannot pass for the other kind.
public enum SignatureKind: UInt8, Hashable, Sendable {
  /// The note's text. A log signs its checkpoints with it.
  case ed25519 = 0x01
  /// A witness' statement, with a time, that a checkpoint is the largest it has seen (C2SP tlog-cosignature, v1).
  case cosignature = 0x04

  init(byte: UInt8) throws(EvidenceError) {
    guard let kind = SignatureKind(rawValue: byte) else {
      throw EvidenceError(.keyUnusable, "key: signature type \(byte) is not known here; use 1 (Ed25519) or 4 (Ed25519 cosignature)")
    }
    self = kind
  }
}
