/// A signature that was found good.
public struct VerifiedSignature: Hashable, Sendable {
  public let key: VerifierKey
  /// When the witness cosigned, in seconds since 1970; nil for a signature of the plain kind.
  public let time: UInt64?
}
