import AccessControl
import AuditHTTP
import AuditSchema
import AuditTLS
import Logging

/// Who may ask what of an `AdminHTTPResponder`: every request shows its credentials and is judged by the access file in force.
public struct AdminAccess: Sendable {
  /// Told to everybody who is not known. The cause goes to the log and the metrics.
  private static let unknown =
    "the server does not know who this is: show a valid certificate or token (Authorization: Bearer); the server's log says what was wrong\n"

  private let judge: @Sendable () -> any AccessJudge
  let isEvidencePublic: Bool
  private let unauthenticated: @Sendable (AuthenticationFailure) -> Void
  private let denied: @Sendable (_ principal: String, _ right: String, _ request: String) -> Void
  /// Throws while no record of a read could be written, where the server promises one.
  let mayRead: @Sendable () throws -> Void
  /// Called for each read of records.
  let haveRead: @Sendable (_ principal: String, _ sequences: Range<UInt64>, _ isWhole: Bool) -> Void
  private let logger: Logger
  private let lines = LogAllowance()

  /// - Parameters:
  ///   - judge: the one in force.
  ///   - isEvidencePublic: whether checkpoints and hashes need no right.
  ///   - unauthenticated: called for each request of somebody unknown, off the event loop.
  ///   - denied: called for each request of somebody known without the right to it.
  ///   - mayRead: throws while records may not be read since nobody could record that. On a thread that may block, as the next one.
  ///   - haveRead: called for each read of records.
  package init(
    judge: @escaping @Sendable () -> any AccessJudge, isEvidencePublic: Bool, logger: Logger,
    unauthenticated: @escaping @Sendable (AuthenticationFailure) -> Void,
    denied: @escaping @Sendable (_ principal: String, _ right: String, _ request: String) -> Void,
    mayRead: @escaping @Sendable () throws -> Void,
    haveRead: @escaping @Sendable (_ principal: String, _ sequences: Range<UInt64>, _ isWhole: Bool) -> Void
  ) {
    self.judge = judge
    self.isEvidencePublic = isEvidencePublic
    self.logger = logger
    self.unauthenticated = unauthenticated
    self.denied = denied
    self.mayRead = mayRead
    self.haveRead = haveRead
  }

  enum Judgement {
    case refused(HTTPAnswer)
    case allowed(principal: String)
  }

  func judge(_ request: HTTPRequest, _ route: AdminRoute, need: AdminRoute.Need) async -> Judgement {
    let identity: Identity
    do throws(AuthenticationFailure) {
      identity = try await judge().authenticate(try Self.credentials(of: request), now: UTCTime.now())
    } catch {
      unauthenticated(error)
      log("unauthenticated", ["cause": "\(error.cause.rawValue)", "reason": "\(error)"], request)
      var answer = HTTPAnswer(status: 401, body: Self.unknown)
      answer.challenge = "Bearer"
      // A new connection may show another certificate.
      answer.isLast = request.peer.certificate != nil
      return .refused(answer)
    }
    guard !Self.isMet(need, by: identity.rights) else { return .allowed(principal: identity.principal) }
    denied(identity.principal, need.rawValue, "GET \(route.name)")
    log("denied", ["principal": "\(identity.principal)", "right": "\(need.rawValue)", "request": "\(route.name)"], request)
    let what = need == .read ? "read on every hub, \(HubName.ofTheLog) included" : need.rawValue
    var answer = HTTPAnswer(
      status: 403, body: "\(identity.principal) has no right to \(what); the operator grants it in the access file\n")
    answer.isOfKnownPeer = true
    return .refused(answer)
  }

  private static func isMet(_ need: AdminRoute.Need, by rights: IdentityRights) -> Bool {
    switch need {
    case .nothing, .identity: true
    case .operate: rights.mayOperate
    case .prove: rights.mayProve
    case .read: rights.read?.isUnrestricted ?? false
    }
  }

  private static func credentials(of request: HTTPRequest) throws(AuthenticationFailure) -> Credentials {
    var credentials = Credentials()
    if let certificate = request.peer.certificate {
      guard !request.peer.isCertificateOutdated else {
        throw AuthenticationFailure(.removed, "the certificate must be verified again, on a new connection: a trusted root was removed")
      }
      credentials.certificate = try PeerCertificate(der: certificate)
    }
    guard let first = request.authorization.first else { return credentials }
    guard request.authorization.count == 1 else {
      throw AuthenticationFailure(.malformedToken, "the request has \(request.authorization.count) Authorization fields")
    }
    let parts = first.split(separator: " ", maxSplits: 1)
    guard parts.count == 2, parts[0].lowercased() == "bearer" else {
      throw AuthenticationFailure(.malformedToken, "the Authorization field is not of the form \"Bearer TOKEN\"")
    }
    guard request.peer.isPrivate else {
      throw AuthenticationFailure(.tokenInTheClear, "a token came over a connection that others can read; use https://")
    }
    credentials.token = String(parts[1].drop { $0 == " " })
    return credentials
  }

  private func log(_ event: String, _ metadata: Logger.Metadata, _ request: HTTPRequest) {
    guard let suppressed = lines.take(event) else { return }
    var metadata = metadata
    if let address = request.peer.address { metadata["peer"] = "\(address)" }
    if suppressed > 0 { metadata["suppressed"] = "\(suppressed)" }
    logger.notice("HTTP: \(event)", metadata: metadata)
  }
}
