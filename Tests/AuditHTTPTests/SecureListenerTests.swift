import AuditHTTP
import AuditTLS
import Dispatch
import Foundation
import Testing

/// A listener with TLS: its bounds and its order are those without. Real sockets.
@Suite struct SecureListenerTests {
  private let own: OwnCertificate

  init() throws { own = try OwnCertificate() }

  /// Answers with the request's path; `/large` with many bytes, `/who` with what is known of the peer, `/late` off the loop.
  private func serve(
    _ change: (inout HTTPLimits) -> Void = { _ in }, large: Int = 0, reasons: Reasons = Reasons(),
    _ body: (Int, ServerTLS) async throws -> Void
  ) async throws {
    var limits = HTTPLimits()
    change(&limits)
    let tls = try own.serverTLS()
    let listener = HTTPListener(limits: limits, hosts: nil, logger: reasons.logger, tls: tls) { request in
      switch request.path {
      case "/large": return .now(HTTPAnswer(status: 200, body: [UInt8](repeating: 0x78, count: large)))
      case "/who":
        let (peer, shown) = (request.peer, request.authorization)
        let text = "\(peer.isSecure) \(peer.isLocal) \(peer.certificate?.count ?? 0) \(peer.isCertificateOutdated) \(shown)\n"
        return .now(HTTPAnswer(status: 200, body: text))
      case "/late":
        return .later {
          await Task.yield()
          return .working { HTTPAnswer(status: 200, body: "late\n") }
        }
      default:
        var answer = HTTPAnswer(status: 200, body: "\(request.path)\n")
        answer.isOfKnownPeer = request.path == "/known"
        return .now(answer)
      }
    }
    let port = try await listener.start(host: "127.0.0.1", port: 0)
    do { try await body(port, tls) } catch {
      try await listener.stop()
      throw error
    }
    try await listener.stop()
  }

  private func get(_ path: String, _ fields: String = "") -> String { "GET \(path) HTTP/1.1\r\n\(fields)\r\n" }

  @Test("requests that come in one record are answered in order, the last ones too when the peer says farewell behind them")
  func pipelining() async throws {
    try await serve { port, _ in
      let peer = try await SecurePeer(port: port)
      // Far more than is decoded at once.
      let paths = (0..<700).map { $0 % 50 == 7 ? "/late" : "/\($0)" }
      try await peer.send(paths.map { get($0) }.joined())
      try await peer.finishSending()
      let answers = try await peer.receive().split(separator: "\r\n\r\n").dropFirst().map { $0.prefix { $0 != "\n" } }
      #expect(answers == paths.map { $0 == "/late" ? "late" : $0[...] })
    }
  }

  @Test("an answer larger than all buffers arrives whole", arguments: [0, 1, 48 << 10, (48 << 10) + 1, 5 << 20])
  func large(count: Int) async throws {
    try await serve(large: count) { port, _ in
      let peer = try await SecurePeer(port: port)
      try await peer.send(get("/large", "Connection: close\r\n"))
      let answer = try await peer.receive()
      #expect(answer.utf8.count - (answer.range(of: "\r\n\r\n").map { answer[..<$0.upperBound].utf8.count } ?? 0) == count)
    }
  }

  @Test("a request tells who sent it: TLS, this machine, the certificate, and whether its root is trusted no more")
  func peers() async throws {
    let client = own
    try await serve { port, tls in
      let nobody = try await SecurePeer(port: port)
      try await nobody.send(get("/who", "Authorization: Bearer x\r\nAuthorization: y\r\n"))
      #expect(try await nobody.receive(to: "]\n").hasSuffix("true true 0 false [\"Bearer x\", \"y\"]\n"))
      let peer = try await SecurePeer(port: port, showing: client)
      try await peer.send(get("/who"))
      let first = try await peer.receive(to: "[]\n")
      #expect(first.contains("true true ") && !first.contains("true true 0") && first.hasSuffix("false []\n"))
      try client.renew()
      #expect(try tls.reload().isRootRemoved)
      // The same connection.
      try await peer.send(get("/who", "Connection: close\r\n"))
      #expect(try await peer.receive().hasSuffix("true []\n"))
      let new = try await SecurePeer(port: port, showing: client)
      try await new.send(get("/who"))
      #expect(try await new.receive(to: "[]\n").hasSuffix("false []\n"))
    }
  }

  @Test("what is no TLS is closed without a word, and logged")
  func plaintext() async throws {
    let reasons = Reasons()
    try await serve(reasons: reasons) { port, _ in
      let peer = Peer(port: port)
      peer.send(get("/"))
      #expect(peer.receivePart()?.isEmpty ?? true)
      #expect(reasons.contains("this port speaks TLS"))
    }
  }

  @Test("a handshake that does not end is ended at the deadline of heads", arguments: ["", "\u{16}", "\u{16}\u{3}\u{1}"])
  func slowHandshake(begin: String) async throws {
    let reasons = Reasons()
    try await serve({ $0.headTimeout = .milliseconds(300) }, reasons: reasons) { port, _ in
      let peer = Peer(port: port)
      peer.send(begin)
      #expect(peer.receivePart()?.isEmpty ?? true)
      #expect(reasons.contains("the TLS handshake was not complete within 0.3 seconds"))
    }
  }

  @Test("beyond the limit of handshakes the one that has taken longest ends, a known peer's last, and nobody who has finished one")
  func handshakes() async throws {
    let reasons = Reasons()
    // Two handshakes at once.
    try await serve({ $0.connections = 8 }, reasons: reasons) { port, _ in
      let finished = try await SecurePeer(port: port)
      try await finished.send(get("/1"))
      #expect(try await finished.receive(to: "/1\n").hasSuffix("/1\n"))
      var waiting = (0..<2).map { _ in Peer(port: port, source: "127.0.0.2") }
      for _ in 0..<10 {
        waiting.append(Peer(port: port, source: "127.0.0.2"))
        #expect(waiting.removeFirst().receivePart()?.isEmpty ?? true)
      }
      // From now on this address is a known one, and the next handshake of it ends no sooner than those of others.
      try await finished.send(get("/known"))
      #expect(try await finished.receive(to: "/known\n").hasSuffix("/known\n"))
      let known = Peer(port: port)
      #expect(waiting.removeFirst().receivePart()?.isEmpty ?? true)
      for _ in 0..<10 {
        waiting.append(Peer(port: port, source: "127.0.0.2"))
        #expect(waiting.removeFirst().receivePart()?.isEmpty ?? true)
      }
      known.send("no TLS")
      #expect(known.receivePart()?.isEmpty ?? true)
      #expect(reasons.contains("this port speaks TLS"))
      try await finished.send(get("/2"))
      #expect(try await finished.receive(to: "/2\n").hasSuffix("/2\n"))
    }
  }

  @Test("an answer that is not read is given up at its deadline, without waiting for the peer's farewell")
  func unread() async throws {
    let reasons = Reasons()
    try await serve({ $0.answerTimeout = .milliseconds(300) }, large: 64 << 20, reasons: reasons) { port, _ in
      let peer = try await SecurePeer(port: port)
      try await peer.stopReading()
      try await peer.send(get("/large"))
      while !reasons.contains("the answer was not read within 0.3 seconds") { try await Task.sleep(for: .milliseconds(10)) }
      try await peer.ended()
    }
  }
}
