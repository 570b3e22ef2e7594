/// What a connection shows.
package struct Credentials: Sendable {
  package var certificate: PeerCertificate?
  /// A token of the access file, or a JWT.
  package var token: String?
  /// Of the process at the other end of a Unix socket.
  package var unixUID: UInt32?

  package init(certificate: PeerCertificate? = nil, token: String? = nil, unixUID: UInt32? = nil) {
    self.certificate = certificate
    self.token = token
    self.unixUID = unixUID
  }
}

/// Why nobody is believed to be who they say. The peer is told only that; the cause goes to the log and the metrics.
package struct AuthenticationFailure: Error, Sendable, CustomStringConvertible {
  /// The raw values are names of a metric's label.
  package enum Cause: String, Sendable, CaseIterable {
    case noCredential = "no_credential"
    /// TLS refused the client's certificate, or the client spoke no TLS.
    case handshake
    case unknownCertificate = "unknown_certificate"
    case malformedCertificate = "malformed_certificate"
    case expired
    case notYetValid = "not_yet_valid"
    /// The certificate is not one for clients.
    case wrongUsage = "wrong_usage"
    /// The certificate has no URI, or more than one.
    case ambiguousName = "ambiguous_name"
    case revoked
    case tokenTooLong = "token_too_long"
    case malformedToken = "malformed_token"
    case unknownToken = "unknown_token"
    case wrongSecret = "wrong_secret"
    /// A token over a connection that others can read.
    case tokenInTheClear = "token_in_the_clear"
    case wrongAlgorithm = "wrong_algorithm"
    case badSignature = "bad_signature"
    case wrongIssuer = "wrong_issuer"
    case wrongAudience = "wrong_audience"
    case unknownKey = "unknown_key"
    case unknownSubject = "unknown_subject"
    case unknownUser = "unknown_user"
    /// Certificate and token name different identities.
    case identitiesDiffer = "identities_differ"
    /// The identity or credential is no longer in the access file.
    case removed
    /// The peer did not agree on the protocol (ALPN).
    case wrongProtocol = "wrong_protocol"
    /// The identity has as many connections as its quota allows.
    case quota
  }

  package let cause: Cause
  /// For the log; it holds no credential.
  package let description: String

  package init(_ cause: Cause, _ description: String) {
    self.cause = cause
    self.description = description
  }
}
