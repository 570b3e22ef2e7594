/// Who sends a request, as far as its connection tells.
public struct HTTPPeer: Sendable {
  /// Without a port. `nil` for a Unix socket.
  public var address: String?
  /// Whether the connection speaks TLS.
  public var isSecure = false
  /// Whether only this machine can be at the other end.
  public var isLocal = false
  /// The client's certificate (DER), verified by TLS when the session began; a resumed session has it too. So what may have changed since must
  /// be judged again: validity, revocation, names.
  public var certificate: [UInt8]?
  /// Whether a trusted root was removed since the certificate was verified.
  public var isCertificateOutdated = false

  public init() {}

  /// Whether nobody on the way can read what is sent.
  public var isPrivate: Bool { isSecure || isLocal }
}
