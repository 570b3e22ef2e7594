import Synchronization
import AccessControl
import AdminHTTP
import AuditHTTP
import AuditSchema
import Testing

/// Which answer each route gives to whom, without sockets. Credentials over TLS and what becomes of refusals: Tests/Integration/test_http_access.py.
@Suite struct RouteTests {
  /// Who asks.
  enum Asker: String, CaseIterable, Sendable {
    case nobody, anybody, operates, proves, reads, readsPartly

    var token: AccessToken? {
      switch self {
      case .nobody: nil
      case .anybody: AdminFixture.anybodyToken
      case .operates: AdminFixture.operatorToken
      case .proves: AdminFixture.proverToken
      case .reads: AdminFixture.readerToken
      case .readsPartly: AdminFixture.partialToken
      }
    }
  }

  struct Route: Sendable, CustomTestStringConvertible {
    let target: String
    /// Status for whoever may ask.
    let status: Int
    /// Who may ask; `nil`: everybody, also those whom the access file does not name.
    let askers: Set<Asker>?
    /// What a refusal is recorded as: right and request.
    let refusal: String
    var testDescription: String { target }

    init(_ target: String, _ status: Int, _ askers: Set<Asker>?, _ refusal: String = "") {
      self.target = target
      self.status = status
      self.askers = askers
      self.refusal = refusal
    }
  }

  private static let known = Set(Asker.allCases).subtracting([.nobody])
  private static let lastTile = "/tile/0/000.p/\(AdminFixture.records)"
  private static let lastEntries = "/tile/entries/000.p/\(AdminFixture.records)"

  static let routes = [
    Route("/livez", 200, nil), Route("/readyz", 200, nil), Route("/readyz?verbose=1", 200, nil), Route("/readyz?other&verbos", 200, nil),
    Route("/readyz?verbose", 200, [.operates], "operate GET /readyz"), Route("/readyz?a&verbose", 200, [.operates], "operate GET /readyz"),
    Route("/healthz", 200, [.operates], "operate GET /healthz"), Route("/healthz?verbose", 200, [.operates], "operate GET /healthz"),
    Route("/metrics", 200, [.operates], "operate GET /metrics"), Route("/checkpoint", 200, [.proves], "prove GET /checkpoint"),
    Route(lastTile, 200, [.proves], "prove GET /tile"), Route("/tile/0/001", 404, [.proves], "prove GET /tile"),
    Route("/tile/0/1", 400, [.proves], "prove GET /tile"), Route("/tile/", 400, [.proves], "prove GET /tile"),
    Route(lastEntries, 200, [.reads], "read GET /tile/entries"), Route("/tile/entries/001", 404, [.reads], "read GET /tile/entries"),
    Route("/", 200, known), Route("/nothing", 404, known), Route("/metrics/", 404, known), Route("/%6detrics", 404, known),
    Route("/livez/../metrics", 404, known),
  ]

  @Test("each route asks for its right, GET and HEAD alike; refusals are told to the server", arguments: routes)
  func rights(_ route: Route) async throws {
    let fixture = try await AdminFixture.make()
    let responder = try fixture.responder()
    for asker in Asker.allCases {
      for method in ["GET", "HEAD"] {
        fixture.told.withLock { $0 = AdminFixture.Told() }
        let (answer, _) = await responder.answer(request(route.target, asker.token, method: method))
        let told = fixture.told.withLock { $0 }
        let mayAsk = route.askers?.contains(asker) ?? true
        if mayAsk {
          #expect(answer.status == route.status && answer.challenge == nil, "\(asker): \(answer.text)")
          #expect(answer.isOfKnownPeer == (route.askers != nil))
          #expect(told.unauthenticated.isEmpty && told.denied.isEmpty)
          #expect(!answer.cacheControl.contains("public"))
        } else if asker == .nobody {
          #expect(answer.status == 401 && answer.challenge == "Bearer" && !answer.isOfKnownPeer && !answer.isLast)
          #expect(told.unauthenticated == ["no_credential"] && told.denied.isEmpty)
        } else {
          #expect(answer.status == 403 && answer.challenge == nil && answer.isOfKnownPeer)
          #expect(answer.text.contains("has no right to \(route.refusal.prefix { $0 != " " })"))
          #expect(told.denied == ["token:\(asker.token?.id ?? "") \(route.refusal)"] && told.unauthenticated.isEmpty)
        }
        if !mayAsk { #expect(answer.cacheControl == "no-store" && told.reads.isEmpty) }
      }
    }
  }

  @Test("other methods are refused before anybody is asked who it is", arguments: ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", ""])
  func methods(_ method: String) async throws {
    let fixture = try await AdminFixture.make()
    for isOpen in [true, false] {
      let responder = try fixture.responder(isOpen: isOpen)
      for route in Self.routes {
        let (answer, _) = await responder.answer(request(route.target, AdminFixture.operatorToken, method: method))
        #expect(answer.status == 405 && answer.text == "only GET and HEAD are answered here\n")
      }
    }
    #expect(fixture.told.withLock { $0 } == AdminFixture.Told())
  }

  @Test("without an access file everybody gets everything, and caches may keep tiles", arguments: routes)
  func open(_ route: Route) async throws {
    let fixture = try await AdminFixture.make()
    let responder = try fixture.responder(isOpen: true)
    let (answer, isWorkers) = await responder.answer(request(route.target))
    #expect(answer.status == route.status && !answer.isOfKnownPeer)
    let isTile = route.target.hasPrefix("/tile/") && route.status == 200
    #expect(answer.cacheControl == (isTile ? "public, max-age=31536000, immutable" : "no-store"))
    // Only what reads the disk occupies a worker.
    #expect(isWorkers == (route.target.hasPrefix("/tile/") && route.status != 400))
    #expect(fixture.told.withLock { $0 } == AdminFixture.Told())
  }

  @Test("public evidence: hashes and checkpoints need nobody's name, and entries do")
  func publicEvidence() async throws {
    let responder = try await AdminFixture.make().responder(isEvidencePublic: true)
    for (target, status) in [("/checkpoint", 200), (Self.lastTile, 200), ("/tile/0/001", 404), ("/tile/x", 400), (Self.lastEntries, 401)] {
      #expect(await responder.answer(request(target)).answer.status == status, "\(target)")
    }
    #expect(await responder.answer(request(Self.lastTile)).answer.cacheControl.hasPrefix("public, "))
    #expect(await responder.answer(request("/metrics", AdminFixture.proverToken)).answer.status == 403)
  }

  @Test("a log that is not signed, or has no tree, has no checkpoint and no tile")
  func unsigned() async throws {
    let fixture = try await AdminFixture.make(isSigned: false)
    for hasEvidence in [true, false] {
      let responder = try fixture.responder(isOpen: true, hasEvidence: hasEvidence)
      let checkpoint = await responder.answer(request("/checkpoint")).answer
      #expect(checkpoint.status == 404 && checkpoint.text.contains("has signed no checkpoint"))
      #expect(await responder.answer(request(Self.lastTile)).answer.status == 404)
    }
  }

  @Test(
    "a credential that cannot be used is refused with its cause for the server, and one sentence for all",
    arguments: [
      (["Basic abc"], true, "malformed_token"), (["Bearer"], true, "malformed_token"), ([""], true, "malformed_token"),
      (["Bearer a", "Bearer a"], true, "malformed_token"), (["Bearer \(AdminFixture.operatorToken.text)"], false, "token_in_the_clear"),
      (["Bearer \(AccessToken(id: "operator").text)"], true, "wrong_secret"),
      (["Bearer \(AccessToken(id: "nobody").text)"], true, "unknown_token"),
    ])
  func credentials(_ fields: [String], _ isLocal: Bool, _ cause: String) async throws {
    let fixture = try await AdminFixture.make()
    var asked = request("/metrics")
    asked.authorization = fields
    asked.peer.isLocal = isLocal
    let responder = try fixture.responder()
    let (answer, _) = await responder.answer(asked)
    #expect(answer.status == 401 && answer.challenge == "Bearer" && answer.text.hasPrefix("the server does not know who this is"))
    #expect(fixture.told.withLock { $0.unauthenticated } == [cause])
    #expect(!answer.text.contains(cause))
  }

  @Test("the scheme of a token may be in any case, with several spaces; over TLS it need not come from this machine")
  func schemes() async throws {
    let responder = try await AdminFixture.make().responder()
    for scheme in ["bearer ", "BEARER   "] {
      var asked = request("/metrics")
      asked.authorization = [scheme + AdminFixture.operatorToken.text]
      asked.peer.isLocal = false
      asked.peer.isSecure = true
      #expect(await responder.answer(asked).answer.status == 200)
    }
  }

  @Test("a refused certificate ends its connection: a new one may show another")
  func certificates() async throws {
    let fixture = try await AdminFixture.make()
    var asked = request("/metrics")
    asked.peer.certificate = [0x30, 0x00]
    let responder = try fixture.responder()
    #expect(await responder.answer(asked).answer.isLast)
    asked.peer.isCertificateOutdated = true
    #expect(await responder.answer(asked).answer.isLast)
    #expect(fixture.told.withLock { $0.unauthenticated } == ["malformed_certificate", "removed"])
  }
}
