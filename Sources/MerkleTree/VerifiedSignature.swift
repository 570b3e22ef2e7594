/// A valid signature.
public struct VerifiedSignature: Hashable, Sendable {
  /// The key that signed.
  public let key: VerifierKey
  /// When the witness cosigned, as Unix time in seconds; `nil` for a key of kind `.ed25519`.
  public let time: UInt64?
}
