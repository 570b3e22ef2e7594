import AuditSchema
import Glibc

/// An access file, ready to judge. Immutable.
package final class AccessTable: AccessJudge {
  package let path: String
  /// SHA-256 of the file.
  package let sha256: [UInt8]
  let file: AccessFile
  private let uris: [String: String]
  private let dnsNames: [String: String]
  private let users: [UInt32: String]
  private let tokens: [String: (name: String, secrets: [(sha256: [UInt8], until: UInt64?)])]
  /// By issuer and subject.
  private let subjects: [[String]: String]
  private let issuers: [String: JSONWebTokens]
  /// The access file and the issuers' key files.
  package let files: [String]
  /// Changes with every file.
  package let fingerprint: [UInt8]

  /// Reads an access file. Blocks on the disk.
  ///
  /// - Throws: for a file that others may change, and for every word that is not understood.
  package static func load(path: String) async throws(AccessFileError) -> AccessTable {
    let content = try read(path)
    guard let text = String(validating: content, as: UTF8.self) else { throw AccessFileError(path, "it is not UTF-8") }
    let file = try AccessFile(text, path: path)
    var issuers: [String: JSONWebTokens] = [:]
    var files = [path]
    var all = content
    for (name, issuer) in file.issuers.sorted(by: { $0.value.line < $1.value.line }) {
      // Beside the access file, where it is not absolute.
      let jwks =
        issuer.jwks.hasPrefix("/")
        ? issuer.jwks : path.split(separator: "/", omittingEmptySubsequences: false).dropLast().map { $0 + "/" }.joined() + issuer.jwks
      let keys = try read(jwks)
      issuers[name] = try await JSONWebTokens(jwks: keys, issuer: issuer.iss, audience: issuer.aud) { AccessFileError(jwks, $0) }
      files.append(jwks)
      all += SHA256.hash(keys)
    }
    return try AccessTable(file, path: path, sha256: SHA256.hash(content), issuers: issuers, files: files, fingerprint: SHA256.hash(all))
  }

  /// A file without issuers.
  package convenience init(_ text: String, path: String = "access") throws(AccessFileError) {
    let digest = SHA256.hash(Array(text.utf8))
    try self.init(try AccessFile(text, path: path), path: path, sha256: digest, issuers: [:], files: [path], fingerprint: digest)
  }

  private init(
    _ file: AccessFile, path: String, sha256: [UInt8], issuers: [String: JSONWebTokens], files: [String], fingerprint: [UInt8]
  ) throws(AccessFileError) {
    (self.file, self.path, self.sha256, self.issuers) = (file, path, sha256, issuers)
    (self.files, self.fingerprint) = (files, fingerprint)
    var subjects: [[String]: String] = [:]
    var uris: [String: String] = [:]
    var dnsNames: [String: String] = [:]
    var users: [UInt32: String] = [:]
    var tokens: [String: (name: String, secrets: [(sha256: [UInt8], until: UInt64?)])] = [:]
    for (name, person) in file.people.sorted(by: { $0.value.line < $1.value.line }) {
      for credential in person.credentials {
        var owner: String?
        switch credential {
        case .uri(let uri): owner = uris.updateValue(name, forKey: uri)
        case .dns(let host): owner = dnsNames.updateValue(name, forKey: host)
        case .unix(let uid): owner = users.updateValue(name, forKey: uid)
        case .token(let id, let sha256, let until):
          // During a change of secrets an id has two of them.
          owner = tokens[id]?.name
          tokens[id, default: (name, [])].secrets.append((sha256, until))
        case .jwt(let issuer, let subject):
          guard file.issuers[issuer] != nil else {
            throw AccessFileError(path, line: person.line, "identity \(name) has a JWT of issuer \(issuer), which the file does not name")
          }
          owner = subjects.updateValue(name, forKey: [issuer, subject])
        }
        guard owner == nil || owner == name else {
          throw AccessFileError(path, line: person.line, "identities \(owner!) and \(name) have the same credential")
        }
      }
    }
    (self.uris, self.dnsNames, self.users, self.tokens, self.subjects) = (uris, dnsNames, users, tokens, subjects)
  }

  /// The names of all identities.
  package var names: [String] { file.people.keys.sorted() }

  /// Whether an identity has the same statements in another file.
  package func isSame(_ name: String, as other: AccessTable) -> Bool {
    func words(_ table: AccessTable) -> [[String]] { table.file.statements.map(\.words).filter { $0.count > 1 && $0[1] == name } }
    return words(self) == words(other)
  }

  /// The rights of an identity; `nil` if the file does not name it.
  package func rights(of name: String) -> IdentityRights? { file.people[name]?.rights }

  // MARK: - Judging

  package func authenticate(_ credentials: Credentials, now: UInt64) async throws(AuthenticationFailure) -> Identity {
    var found: [(name: String, principal: String, expiresAt: UInt64?, evidence: Identity.Evidence)] = []
    if let certificate = credentials.certificate {
      let (name, uri) = try owner(of: certificate, now: now)
      found.append((name, "cert:\(uri)", certificate.notAfter, .certificate(certificate)))
    }
    if let token = credentials.token, !token.hasPrefix(AccessToken.prefix), token.utf8.count(where: { $0 == UInt8(ascii: ".") }) == 2 {
      found.append(try await owner(ofJWT: token, now: now))
    } else if let token = credentials.token {
      let (name, id, sha256, until) = try owner(ofToken: token, now: now)
      found.append((name, "token:\(id)", until, .token(id: id, sha256: sha256)))
    }
    if found.isEmpty, let uid = credentials.unixUID {
      guard let name = users[uid] else { throw AuthenticationFailure(.unknownUser, "no identity has the user id \(uid)") }
      found.append((name, "unix:\(uid)", nil, .unix(uid: uid)))
    }
    guard let first = found.first else { throw AuthenticationFailure(.noCredential, "neither a certificate nor a token was shown") }
    guard found.allSatisfy({ $0.name == first.name }) else {
      throw AuthenticationFailure(
        .identitiesDiffer, "\(found.map { "\($0.principal) is \($0.name)" }.joined(separator: ", and ")); one connection has one identity")
    }
    return Identity(
      name: first.name, principal: first.principal, rights: file.people[first.name]!.rights,
      expiresAt: found.compactMap(\.expiresAt).min(), evidence: found.map(\.evidence))
  }

  package func judgeAgain(_ identity: Identity, now: UInt64) throws(AuthenticationFailure) -> Identity {
    var ends: [UInt64] = []
    for evidence in identity.evidence {
      let name: String
      switch evidence {
      case .certificate(let certificate):
        name = try owner(of: certificate, now: now).name
        ends.append(certificate.notAfter)
      case .token(let id, let sha256):
        guard let token = tokens[id], let secret = token.secrets.first(where: { $0.sha256 == sha256 }) else {
          throw AuthenticationFailure(.removed, "the token \(id) is not in the access file any more")
        }
        if let until = secret.until {
          guard now < until else { throw AuthenticationFailure(.expired, "the token \(id) expired at \(UTCTime.rfc3339(until))") }
          ends.append(until)
        }
        name = token.name
      case .unix(let uid):
        guard let owner = users[uid] else { throw AuthenticationFailure(.removed, "the user \(uid) is not in the access file any more") }
        name = owner
      case .jwt(let issuer, let subject, let keyID, let digest, let expiresAt):
        guard issuers[issuer]?.isInForce(keyID: keyID, verifiedBy: digest) == true else {
          throw AuthenticationFailure(.removed, "the key \(keyID) of issuer \(issuer) is not in force any more")
        }
        guard let owner = subjects[[issuer, subject]] else {
          throw AuthenticationFailure(.removed, "the subject of \(identity.principal) is not in the access file any more")
        }
        guard now < expiresAt else { throw AuthenticationFailure(.expired, "the JWT expired at \(UTCTime.rfc3339(expiresAt))") }
        ends.append(expiresAt)
        name = owner
      }
      guard name == identity.name else {
        throw AuthenticationFailure(.removed, "\(identity.principal) is \(name) now, and was \(identity.name)")
      }
    }
    return Identity(
      name: identity.name, principal: identity.principal, rights: file.people[identity.name]!.rights, expiresAt: ends.min(),
      evidence: identity.evidence)
  }

  private func owner(of certificate: PeerCertificate, now: UInt64) throws(AuthenticationFailure) -> (name: String, uri: String) {
    // A resumed TLS session skips these checks of TLS.
    guard now < certificate.notAfter else {
      throw AuthenticationFailure(.expired, "the certificate \(certificate.serial) expired at \(UTCTime.rfc3339(certificate.notAfter))")
    }
    guard now >= certificate.notBefore else {
      throw AuthenticationFailure(
        .notYetValid, "the certificate \(certificate.serial) is valid from \(UTCTime.rfc3339(certificate.notBefore)) on")
    }
    guard certificate.isForClients else {
      throw AuthenticationFailure(.wrongUsage, "the certificate \(certificate.serial) is not one for clients (extended key usage)")
    }
    guard !file.revokedSerials.contains(certificate.serial) else {
      throw AuthenticationFailure(.revoked, "the certificate \(certificate.serial) is revoked")
    }
    guard certificate.uris.count <= 1 else {
      throw AuthenticationFailure(
        .ambiguousName, "the certificate \(certificate.serial) has \(certificate.uris.count) URIs; exactly one is allowed")
    }
    guard let uri = certificate.uris.first else {
      guard certificate.dnsNames.count == 1, let name = dnsNames[certificate.dnsNames[0].lowercased()] else {
        throw AuthenticationFailure(
          .ambiguousName,
          "the certificate \(certificate.serial) has no URI among its subject alternative names, and no DNS name of the access file")
      }
      return (name, "dns:\(certificate.dnsNames[0].lowercased())")
    }
    guard !file.revokedURIs.contains(uri) else { throw AuthenticationFailure(.revoked, "\(uri) is revoked") }
    if !file.trustDomains.isEmpty, !file.trustDomains.contains(Self.domain(of: uri)) {
      throw AuthenticationFailure(.unknownCertificate, "\(uri) is in none of the trust domains of the access file")
    }
    guard let name = uris[uri] else { throw AuthenticationFailure(.unknownCertificate, "the access file does not name \(uri)") }
    return (name, uri)
  }

  private static func domain(of uri: String) -> String {
    let parts = uri.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
    return parts.count > 2 && parts[1].isEmpty ? String(parts[2]) : ""
  }

  private func owner(
    ofToken text: String, now: UInt64
  ) throws(AuthenticationFailure) -> (name: String, id: String, sha256: [UInt8], until: UInt64?) {
    guard let token = AccessToken(text) else { throw AuthenticationFailure(.malformedToken, "the token is not of the form hat_ID_SECRET") }
    guard let known = tokens[token.id] else { throw AuthenticationFailure(.unknownToken, "the access file has no token \(token.id)") }
    let digest = token.sha256
    var match: (sha256: [UInt8], until: UInt64?)?
    for secret in known.secrets where Self.isSame(secret.sha256, digest) { match = secret }
    guard let match else { throw AuthenticationFailure(.wrongSecret, "the secret of token \(token.id) is wrong") }
    if let until = match.until, now >= until {
      throw AuthenticationFailure(.expired, "the token \(token.id) expired at \(UTCTime.rfc3339(until))")
    }
    return (known.name, token.id, match.sha256, match.until)
  }

  private func owner(
    ofJWT token: String, now: UInt64
  ) async throws(AuthenticationFailure) -> (name: String, principal: String, expiresAt: UInt64?, evidence: Identity.Evidence) {
    guard let claimed = JSONWebTokens.claimedIssuer(token) else {
      throw AuthenticationFailure(.malformedToken, "the token is neither of the form hat_ID_SECRET nor a JWT with an issuer (iss)")
    }
    // Two issuers of the file may have the same `iss`, for different audiences.
    let candidates = file.issuers.filter { $0.value.iss == claimed }.keys.sorted()
    var failure = AuthenticationFailure(.wrongIssuer, "the access file names no issuer whose iss is that of the JWT")
    for alias in candidates {
      guard let issuer = issuers[alias] else { continue }
      do throws(AuthenticationFailure) {
        let claims = try await issuer.verify(token, now: now)
        guard let name = subjects[[alias, claims.subject]] else {
          throw AuthenticationFailure(.unknownSubject, "the access file names no subject of issuer \(alias) that is that of the JWT")
        }
        return (
          name, "jwt:\(alias):\(claims.subject)", claims.expiresAt,
          .jwt(
            issuer: alias, subject: claims.subject, keyID: claims.keyID, verifiedBy: claims.verifiedBy, expiresAt: claims.expiresAt)
        )
      } catch { failure = error }
    }
    throw failure
  }

  /// Compares digests in constant time.
  private static func isSame(_ one: [UInt8], _ other: [UInt8]) -> Bool {
    one.count == other.count && zip(one, other).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
  }

  // MARK: - The file

  private static func read(_ path: String) throws(AccessFileError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw AccessFileError(path, String(cString: strerror(errno))) }
    defer { close(descriptor) }
    var found = stat()
    guard fstat(descriptor, &found) == 0, found.st_mode & S_IFMT == S_IFREG else { throw AccessFileError(path, "it is not a file") }
    guard found.st_mode & 0o022 == 0 else {
      throw AccessFileError(
        path,
        "others than its owner may change it (mode \(String(found.st_mode & 0o777, radix: 8))), and it says who may do what; chmod go-w \(path)"
      )
    }
    guard found.st_uid == 0 || found.st_uid == geteuid() else {
      throw AccessFileError(path, "it belongs to user \(found.st_uid), and has to belong to the server's user or to root")
    }
    guard found.st_size <= AccessFile.maximumBytes else { throw AccessFileError(path, "it has more than \(AccessFile.maximumBytes) bytes") }
    var content = [UInt8](repeating: 0, count: AccessFile.maximumBytes + 1)
    var count = 0
    while count < content.count {
      let more = content.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + count, $0.count - count) }
      if more < 0 { throw AccessFileError(path, String(cString: strerror(errno))) }
      if more == 0 { break }
      count += more
    }
    guard count <= AccessFile.maximumBytes else { throw AccessFileError(path, "it has more than \(AccessFile.maximumBytes) bytes") }
    return Array(content[..<count])
  }
}
