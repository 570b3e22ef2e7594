import AuditSchema

/// Somebody whom the access file names, as a connection has shown.
package struct Identity: Sendable {
  /// The name in the access file.
  package let name: String
  /// The credential that was shown: `cert:URI`, `token:ID`, `jwt:ALIAS:SUBJECT` or `unix:UID`. It stands in the headers of the records that
  /// the connection appends. Printable, at most `maximumPrincipalBytes`.
  package let principal: String
  package let rights: IdentityRights
  /// When the credential expires, in Unix ns; `nil`: never.
  package let expiresAt: UInt64?
  /// What was shown, as far as it is needed to judge it again.
  package let evidence: [Evidence]

  package static let maximumPrincipalBytes = 128

  /// A verified credential. It holds no secret.
  package enum Evidence: Sendable {
    case certificate(PeerCertificate)
    /// The token's id and the SHA-256 of the whole token.
    case token(id: String, sha256: [UInt8])
    /// `verifiedBy`: identifies key, issuer and audience. `expiresAt`: Unix ns.
    case jwt(issuer: String, subject: String, keyID: String, verifiedBy: [UInt8], expiresAt: UInt64)
    case unix(uid: UInt32)
  }

  package init(name: String, principal: String, rights: IdentityRights, expiresAt: UInt64?, evidence: [Evidence]) {
    self.name = name
    self.principal = principal
    self.rights = rights
    self.expiresAt = expiresAt
    self.evidence = evidence
  }
}

/// What an identity may do.
package struct IdentityRights: Sendable {
  /// Hubs whose name it may use, and those among them that are denied.
  package var publish: [NamePattern] = []
  package var publishDenied: [NamePattern] = []
  /// `nil`: it may read nothing.
  package var read: ReadRights?
  package var mayProve = false
  package var mayErase = false
  package var mayOperate = false
  package var quota = Quota()

  package init() {}

  package func mayPublish(hub: String) -> Bool {
    publish.contains { $0.matches(hub) } && !publishDenied.contains { $0.matches(hub) }
  }
}

/// What all connections of an identity may use together; `nil`: no limit but the server's.
package struct Quota: Sendable, Hashable {
  package var connections: Int?
  /// Bytes of frames that arrive.
  package var bytesPerSecond: Int?
  /// Producers with an open connection.
  package var producers: Int?
  package var subscriptions: Int?
  /// Memory of filters.
  package var filterBytes: Int?
  /// Bytes of records that are read from the disk.
  package var replayBytesPerSecond: Int?

  package init() {}
}
