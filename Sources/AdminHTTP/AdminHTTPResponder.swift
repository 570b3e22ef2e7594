import AuditHTTP
import AuditLog
import AuditSchema
import Logging
import MerkleTree

/// The log over HTTP, for operators and auditors.
///
/// - `/`: a page that links to the others.
/// - `/livez`: 200 while the process answers.
/// - `/readyz`: 200 when the log takes appends, otherwise 503; `?verbose` lists the checks, and how far signing, witnesses and scrub are.
/// - `/healthz`: as `/readyz`, and 503 also when something on disk was found damaged.
/// - `/metrics`: Prometheus text format 0.0.4.
/// - `/checkpoint`, `/tile/...`: the log as a tiled transparency log (C2SP tlog-tiles).
///
/// With `AdminAccess`, only `/livez` and `/readyz` are open, and say no more than yes or no.
///
/// It asks for a `Health` and `Metrics` at every request and knows nothing of the server behind them.
public struct AdminHTTPResponder: Sendable {
  private static let pages = ["/livez", "/readyz?verbose", "/healthz?verbose", "/metrics", "/checkpoint"]

  private let health: @Sendable () -> Health
  private let details: @Sendable (Health) -> [String]
  private let metrics: @Sendable () -> [Metric]
  private let evidence: TiledLog?
  private let access: AdminAccess?

  /// - Parameters:
  ///   - details: lines that `?verbose` adds, without line ends.
  ///   - evidence: `nil` for a log without a tree.
  ///   - access: `nil`: everybody may ask everything.
  public init(
    health: @escaping @Sendable () -> Health, details: @escaping @Sendable (Health) -> [String],
    metrics: @escaping @Sendable () -> [Metric],
    evidence: TiledLog?, access: AdminAccess? = nil
  ) {
    self.access = access
    self.evidence = evidence
    self.health = health
    self.details = details
    self.metrics = metrics
  }

  public func respond(to request: HTTPRequest) -> HTTPResponding {
    guard request.method == "GET" || request.method == "HEAD" else {
      return .now(HTTPAnswer(status: 405, body: "only GET and HEAD are answered here\n"))
    }
    let route = AdminRoute(request)
    guard let access else { return answer(route, principal: nil) }
    let need = route.need(isEvidencePublic: access.isEvidencePublic)
    guard need != .nothing else { return answer(route, principal: nil) }
    return .later {
      switch await access.judge(request, route, need: need) {
      case .refused(let refusal): .now(refusal)
      case .allowed(let principal): answer(route, principal: principal)
      }
    }
  }

  /// What reads the disk is answered by a thread that may wait for it: health and metrics wait for no tile.
  ///
  /// - Parameter principal: who has the right to the answer; `nil`: everybody.
  private func answer(_ route: AdminRoute, principal: String?) -> HTTPResponding {
    let isPrivate = principal != nil
    switch route {
    case .index: return known(index(), isPrivate)
    case .livez: return .now(HTTPAnswer(status: 200, body: "ok\n"))
    case .readyz(let isVerbose): return known(readiness(damage: false, isVerbose: isVerbose), isPrivate)
    case .healthz(let isVerbose): return known(readiness(damage: true, isVerbose: isVerbose), isPrivate)
    case .metrics:
      let text = Metric.text(of: metrics())
      return known(HTTPAnswer(status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", body: text), isPrivate)
    case .checkpoint: return known(evidence?.checkpoint() ?? TiledLog.missing, isPrivate)
    case .tile(let tile):
      guard let evidence else { return known(TiledLog.missing, isPrivate) }
      return .working {
        var answer = read(tile, evidence, principal)
        answer.isOfKnownPeer = isPrivate
        return answer
      }
    case .malformedTile(let reason): return known(HTTPAnswer(status: 400, body: "\(reason)\n"), isPrivate)
    case .unknown:
      let body = "not found; there are /, /livez, /readyz, /healthz, /metrics, /checkpoint and /tile\n"
      return known(HTTPAnswer(status: 404, body: body), isPrivate)
    }
  }

  /// Reads a tile. Reads of records are recorded.
  private func read(_ tile: Tile, _ evidence: TiledLog, _ principal: String?) -> HTTPAnswer {
    guard let access, let principal, tile.content == .entries else {
      return evidence.answer(tile, cache: principal == nil ? .public : .private)
    }
    do { try access.mayRead() } catch { return HTTPAnswer(status: 503, body: "\(error)\n") }
    let answer = evidence.answer(tile, cache: .private)
    access.haveRead(principal, tile.indices, answer.status == 200)
    return answer
  }

  private func known(_ answer: HTTPAnswer, _ isKnown: Bool) -> HTTPResponding {
    var answer = answer
    answer.isOfKnownPeer = isKnown
    return .now(answer)
  }

  private func index() -> HTTPAnswer {
    let items = Self.pages.map { "<li><a href=\"\($0)\">\($0)</a></li>\n" }.joined()
    return HTTPAnswer(
      status: 200, contentType: "text/html; charset=utf-8",
      body:
        "<!DOCTYPE html>\n<html lang=\"en\"><title>hubaudit</title>\n<h1>hubaudit</h1>\n<ul>\n\(items)<li>/tile/LEVEL/INDEX, /tile/entries/INDEX</li>\n</ul>\n</html>\n"
    )
  }

  private func readiness(damage countsDamage: Bool, isVerbose: Bool) -> HTTPAnswer {
    let health = health()
    let damage = countsDamage ? health.damage : []
    let isGood = health.status == .ok && damage.isEmpty
    // Reasons name paths and hosts.
    if access != nil, !countsDamage, !isVerbose { return HTTPAnswer(status: isGood ? 200 : 503, body: isGood ? "ok\n" : "not ready\n") }
    var body = isGood ? "ok\n" : health.reasons.map { "not ready: \($0)\n" }.joined() + damage.map { "damaged: \($0)\n" }.joined()
    if isVerbose {
      let appends = health.status == .ok ? "[+] appends ok\n" : health.reasons.map { "[-] appends: \($0)\n" }.joined()
      let disk = health.damage.isEmpty ? "[+] disk ok\n" : health.damage.map { "[-] disk: \($0)\n" }.joined()
      body = "[+] process ok\n" + appends + disk + details(health).map { "\($0)\n" }.joined() + (isGood ? "ready\n" : "not ready\n")
    }
    return HTTPAnswer(status: isGood ? 200 : 503, body: body)
  }
}
