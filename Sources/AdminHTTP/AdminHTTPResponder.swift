import AuditHTTP
import AuditLog
import AuditSchema
import Logging

/// The log over HTTP, for operators and auditors.
///
/// - `/`: a page that links to the others.
/// - `/livez`: 200 while the process answers.
/// - `/readyz`: 200 when the log takes appends, otherwise 503; `?verbose` lists the checks, and how far signing, witnesses and scrub are.
/// - `/healthz`: as `/readyz`, and 503 also when something on disk was found damaged.
/// - `/metrics`: Prometheus text format 0.0.4.
/// - `/checkpoint`, `/tile/...`: the log as a tiled transparency log (C2SP tlog-tiles).
///
/// It asks for a `Health` and `Metrics` at every request and knows nothing of the server behind them.
public struct AdminHTTPResponder: Sendable {
  private static let pages = ["/livez", "/readyz?verbose", "/healthz?verbose", "/metrics", "/checkpoint"]

  private let health: @Sendable () -> Health
  private let details: @Sendable (Health) -> [String]
  private let metrics: @Sendable () -> [Metric]
  private let evidence: TiledLog?

  /// - Parameters:
  ///   - details: lines that `?verbose` adds, without line ends.
  ///   - evidence: `nil` for a log without a tree.
  public init(
    health: @escaping @Sendable () -> Health, details: @escaping @Sendable (Health) -> [String],
    metrics: @escaping @Sendable () -> [Metric],
    evidence: TiledLog?
  ) {
    self.evidence = evidence
    self.health = health
    self.details = details
    self.metrics = metrics
  }

  /// What reads the disk is answered by a thread that may wait for it: health and metrics wait for no tile.
  public func respond(to request: HTTPRequest) -> HTTPResponding {
    guard request.method == "GET" || request.method == "HEAD" else {
      return .now(HTTPAnswer(status: 405, body: "only GET and HEAD are answered here\n"))
    }
    if request.path.hasPrefix("/tile/") {
      guard let evidence else { return .now(TiledLog.missing) }
      return .working { evidence.tile(String(request.path.dropFirst())) }
    }
    return .now(answer(request))
  }

  private func answer(_ request: HTTPRequest) -> HTTPAnswer {
    switch request.path {
    case "/": return index()
    case "/livez": return HTTPAnswer(status: 200, body: "ok\n")
    case "/readyz": return readiness(damage: false, isVerbose: request.has(parameter: "verbose"))
    case "/healthz": return readiness(damage: true, isVerbose: request.has(parameter: "verbose"))
    case "/metrics":
      return HTTPAnswer(status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", body: Metric.text(of: metrics()))
    case "/checkpoint": return evidence?.checkpoint() ?? TiledLog.missing
    default:
      return HTTPAnswer(status: 404, body: "not found; there are /, /livez, /readyz, /healthz, /metrics, /checkpoint and /tile\n")
    }
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
    var body = isGood ? "ok\n" : health.reasons.map { "not ready: \($0)\n" }.joined() + damage.map { "damaged: \($0)\n" }.joined()
    if isVerbose {
      let appends = health.status == .ok ? "[+] appends ok\n" : health.reasons.map { "[-] appends: \($0)\n" }.joined()
      let disk = health.damage.isEmpty ? "[+] disk ok\n" : health.damage.map { "[-] disk: \($0)\n" }.joined()
      body = "[+] process ok\n" + appends + disk + details(health).map { "\($0)\n" }.joined() + (isGood ? "ready\n" : "not ready\n")
    }
    return HTTPAnswer(status: isGood ? 200 : 503, body: body)
  }
}
