import AccessControl
import AuditLog
import AuditSchema
import Logging
import NIOCore

/// Who a connection is, and what it may do. Without an access file everybody may do everything.
struct SessionAccess {
  /// The client's certificate, verified by TLS.
  var certificate: PeerCertificate?
  /// A certificate that cannot be read.
  var certificateFailure: AuthenticationFailure?
  /// Whether nobody on the way can read what is sent: TLS, a Unix socket or loopback.
  var isPrivate = false
  /// `nil`: none is known yet, or the server asks for none.
  var identity: Identity?
  var usage: IdentityUsage?
  /// Whether it may append as its hub. Set by hello and reload.
  var mayAppend = true
  /// Whether an `authenticate` is being judged.
  var isAuthenticating = false
  /// Whether it counts against its identity's quota of producers.
  var holdsProducer = false
}

extension Session {
  /// The TLS handshake is complete.
  ///
  /// - Parameters:
  ///   - agreed: the protocol that both sides named (ALPN).
  ///   - certificate: of the client, DER; also of a resumed session.
  func secured(agreed: String?, certificate: [UInt8]?) {
    guard agreed == server.frameProtocol else {
      refuseCredentials(
        AuthenticationFailure(.wrongProtocol, "the client agreed on protocol \(agreed ?? "none") (ALPN), not on \(server.frameProtocol)"),
        id: nil)
      return
    }
    guard let certificate else { return }
    do throws(AuthenticationFailure) { access.certificate = try PeerCertificate(der: certificate) } catch {
      access.certificateFailure = error
    }
  }

  /// TLS has refused the client, or what it sent is no TLS.
  func handshakeFailed(_ error: any Error) {
    guard !isEnding else { return }
    count(AuthenticationFailure(.handshake, "the TLS handshake failed: \(error)"))
    endHandshake()
  }

  private func count(_ failure: AuthenticationFailure) {
    server.access?.failed(failure.cause)
    server.unauthenticated(failure)
    note(
      .unauthenticated(cause: failure.cause.rawValue), "unauthenticated", ["cause": "\(failure.cause.rawValue)", "reason": "\(failure)"])
  }

  /// Finds out who the connection is, and calls `then` on the loop, unless it has ended meanwhile.
  func identify(token: String?, then: @escaping @Sendable (Session, Result<Identity, AuthenticationFailure>) -> Void) {
    guard let serverAccess = server.access else { return }
    let reference = NIOLoopBound(self, eventLoop: shard.loop)
    if let failure = access.certificateFailure { return then(self, .failure(failure)) }
    if let token {
      if token.utf8.count > Hello.maximumTokenBytes {
        return then(self, .failure(AuthenticationFailure(.tokenTooLong, "the token has \(token.utf8.count) bytes")))
      }
      if !access.isPrivate {
        return then(
          self, .failure(AuthenticationFailure(.tokenInTheClear, "a token came over a connection that others can read; use TLS")))
      }
    }
    let credentials = Credentials(certificate: access.certificate, token: token, unixUID: unixUID)
    Task { [loop = shard.loop, judge = serverAccess.judge] in
      let result: Result<Identity, AuthenticationFailure>
      do throws(AuthenticationFailure) {
        result = .success(try await judge.authenticate(credentials, now: UTCTime.now()))
      } catch { result = .failure(error) }
      loop.execute {
        let session = reference.value
        guard !session.isEnding else { return }
        // The access file may have changed while that was found out.
        then(session, result.flatMap { identity in session.judged(identity) })
        session.handler?.resume()
        session.shard.flush()
      }
    }
  }

  /// Judges an identity by the access file in force.
  private func judged(_ identity: Identity) -> Result<Identity, AuthenticationFailure> {
    guard let serverAccess = server.access else { return .success(identity) }
    do throws(AuthenticationFailure) {
      return .success(try serverAccess.judge.judgeAgain(identity, now: UTCTime.now()))
    } catch { return .failure(error) }
  }

  /// Ends a connection of somebody unknown. The peer is not told why; the log is.
  func refuseCredentials(_ failure: AuthenticationFailure, id: UInt64?) {
    count(failure)
    fail(
      RequestError(
        .unauthenticated, "the server does not know who this is: show a valid certificate or token; the server's log says what was wrong"),
      id: id, isNoted: true)
  }

  /// Lets an identity in.
  ///
  /// - Throws: `overloaded` if it has as many connections as its quota allows.
  func admit(_ identity: Identity) throws(RequestError) {
    guard let serverAccess = server.access else { return }
    access.usage = try serverAccess.enter(identity)
    access.identity = identity
    logger[metadataKey: "principal"] = "\(identity.principal)"
  }

  /// What its identity uses by its connection alone is free again.
  func leave() {
    guard let usage = access.usage, let serverAccess = server.access else { return }
    access.usage = nil
    if access.holdsProducer { usage.giveBack(.producers) }
    serverAccess.leave(usage)
  }

  // MARK: - Rights

  /// The one place where requests meet rights.
  ///
  /// - Throws: `notPermitted` for what the connection's identity may not ask.
  func permit(_ request: ClientRequest) throws(RequestError) {
    guard let rights = access.identity?.rights else { return }
    switch request {
    case .hello, .authenticate, .ping, .schema, .unsubscribe, .credit: return
    case .append(let append):
      guard access.mayAppend || source == nil else { throw denied("publish", "append", hub: source?.origin.hub) }
      if append.isProven, !rights.mayProve { throw denied("prove", "append") }
    case .read: guard rights.read != nil else { throw denied("read", "read") }
    case .subscribe: guard rights.read != nil else { throw denied("read", "subscribe") }
    case .checkpoint: guard rights.mayProve else { throw denied("prove", "checkpoint") }
    case .proof: guard rights.mayProve else { throw denied("prove", "proof") }
    case .erase: guard rights.mayErase else { throw denied("erase", "erase") }
    case .health: guard rights.mayOperate else { throw denied("operate", "health") }
    case .settings: guard rights.mayOperate else { throw denied("operate", "settings") }
    }
  }

  func denied(_ right: String, _ request: String, hub: String? = nil) -> RequestError {
    server.access?.denied(right)
    server.denied(access.identity?.principal ?? "", right: right, request: request, hub: hub)
    let what = hub.map { "\(right) on hub \"\($0)\"" } ?? right
    return RequestError(
      .notPermitted, "\(access.identity?.principal ?? "this connection") has no right to \(what); the operator grants it in the access file"
    )
  }

  /// The records that it may read; `nil`: all.
  var readRights: ReadRights? {
    guard let read = access.identity?.rights.read else { return nil }
    return read.isUnrestricted ? nil : read
  }

  // MARK: - Renewal, expiry and reload

  /// Answers an `Authenticate`.
  func authenticate(_ id: UInt64, token: String) throws(RequestError) {
    guard server.access != nil else {
      throw RequestError(.unsupportedRequest, "this server asks for no credentials; it was started without --access")
    }
    guard !access.isAuthenticating else {
      throw RequestError(.limitExceeded, "another authenticate of this connection is not answered yet; wait for its answer")
    }
    access.isAuthenticating = true
    // Counts as work under way: a connection that shuts its sending side down still gets the answer.
    beginLate()
    identify(token: token) { session, result in
      session.access.isAuthenticating = false
      switch result {
      case .success(let identity) where identity.principal == session.access.identity?.principal:
        session.take(identity)
        if !session.isEnding {
          session.write(session.shard.encoder.authenticated(id: id, identity: identity.principal, expiresAt: identity.expiresAt))
        }
      case .success(let identity):
        session.refuseCredentials(
          AuthenticationFailure(.identitiesDiffer, "the new token is \(identity.principal)'s, and the connection another's"), id: id)
      case .failure(let failure): session.refuseCredentials(failure, id: id)
      }
      session.finishLate()
    }
  }

  /// Ends a connection whose credentials have expired.
  func checkExpiry() {
    guard let identity = access.identity, let expiresAt = identity.expiresAt, UTCTime.now() >= expiresAt else { return }
    endExpired("expired at \(UTCTime.rfc3339(expiresAt))")
  }

  private func endExpired(_ what: String) {
    server.credentialEnded(access.identity?.principal ?? "")
    fail(RequestError(.credentialExpired, "the credentials of this connection \(what); connect again with valid ones"))
  }

  /// The access file, or the roots that clients' certificates are verified with, have changed.
  ///
  /// - Parameter isRootRemoved: whether a certificate that was shown may be one that would be refused now.
  func judgeAgain(isRootRemoved: Bool) {
    guard !isEnding, let identity = access.identity else { return }
    if isRootRemoved, access.certificate != nil { return endExpired("must be verified again: a trusted root was removed") }
    switch judged(identity) {
    case .success(let identity): take(identity)
    case .failure(let failure): endExpired("are not valid any more (\(failure.cause.rawValue))")
    }
  }

  /// Takes today's rights of the connection's identity. What they do not allow any more ends; the rest goes on.
  private func take(_ new: Identity) {
    let old = access.identity
    access.identity = new
    access.usage?.quota = new.rights.quota
    if let source { access.mayAppend = new.rights.mayPublish(hub: source.origin.hub) }
    if !new.rights.mayProve { wantsCheckpoints = false }
    guard !Self.holds(old?.rights.read, within: new.rights.read) else { return }
    let error = RequestError(
      .notPermitted, "the rights to read have changed while this was under way; ask again to get what is allowed now", mayRetry: true)
    for id in Array(subscriptions.keys) { endSubscription(id, error) }
    for (id, read) in reads {
      end(read, id, outcome: "\(error.code)")
      write(shard.encoder.error(id: id, error))
    }
    reads.removeAll()
    finishIfDone()
  }

  /// Whether everything that the old rights allow is certainly allowed by the new ones.
  private static func holds(_ old: ReadRights?, within new: ReadRights?) -> Bool {
    guard let old else { return true }
    guard let new else { return false }
    return new.isUnrestricted || Set(old.allow).isSubset(of: new.allow) && Set(new.deny).isSubset(of: old.deny)
  }
}
