import AuditHTTP
import Dispatch
import Logging
import Testing

/// What a listener does for peers that behave, and what it does not for the others. Real sockets.
@Suite struct HTTPListenerTests {
  private static func limits(_ change: (inout HTTPLimits) -> Void = { _ in }) -> HTTPLimits {
    var limits = HTTPLimits()
    limits.bodyBytes = 1000
    change(&limits)
    return limits
  }

  /// Answers with the request's path and the number of its body's bytes. `/blocks` is answered when `gate` is open, `/known` as a known peer's.
  private func serve(
    _ limits: HTTPLimits = limits(), hosts: HostNames? = nil, gate: DispatchSemaphore = DispatchSemaphore(value: 0),
    large: Int = 0, reasons: Reasons = Reasons(), _ body: (Int) async throws -> Void
  ) async throws {
    let listener = HTTPListener(limits: limits, hosts: hosts, logger: reasons.logger) { request in
      let text = "\(request.path) \(request.body.count)\n"
      guard request.path != "/blocks" else {
        return .working {
          reasons.note("an answer waits")
          gate.wait()
          return HTTPAnswer(status: 200, body: text)
        }
      }
      if request.path == "/large" { return .now(HTTPAnswer(status: 200, body: [UInt8](repeating: 0x78, count: large))) }
      var answer = HTTPAnswer(status: 200, body: text)
      answer.isOfKnownPeer = request.path == "/known"
      return .now(answer)
    }
    let port = try await listener.start(host: "127.0.0.1", port: 0)
    do { try await body(port) } catch {
      try await listener.stop()
      throw error
    }
    try await listener.stop()
  }

  private func get(_ path: String, _ fields: String = "Host: localhost\r\n") -> String { "GET \(path) HTTP/1.1\r\n\(fields)\r\n" }

  @Test("requests that come all at once are answered one after the other and in order, whichever of them has to wait")
  func pipelining() async throws {
    let gate = DispatchSemaphore(value: 0)
    gate.signal()
    try await serve(gate: gate) { port in
      let peer = Peer(port: port)
      peer.send(get("/1") + get("/blocks") + "POST /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc" + get("/3", "Connection: close\r\n"))
      let answers = peer.receive().split(separator: "\r\n\r\n").dropFirst().map { $0.prefix { $0 != "\n" } }
      #expect(answers == ["/1 0", "/blocks 0", "/2 3", "/3 0"])
    }
  }

  @Test("a peer that sends, shuts down and then reads gets its answer, also one that has to wait")
  func halfClosed() async throws {
    let gate = DispatchSemaphore(value: 0)
    try await serve(gate: gate) { port in
      for path in ["/at-once", "/blocks"] {
        let peer = Peer(port: port)
        peer.send(get(path))
        peer.finishSending()
        if path == "/blocks" { gate.signal() }
        let answer = peer.receive()
        #expect(answer.hasPrefix("HTTP/1.1 200") && answer.hasSuffix("\(path) 0\n"))
      }
    }
  }

  @Test("a body over the limit is refused from its length, and from its bytes where it has none; the answer can be read")
  func bodies() async throws {
    try await serve { port in
      for body in [
        "Content-Length: 1001\r\n\r\n" + String(repeating: "x", count: 1001),
        "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + String(repeating: "x", count: 1001),
      ] {
        let peer = Peer(port: port)
        peer.send("POST / HTTP/1.1\r\nHost: a\r\n" + body)
        let answer = peer.receive()
        #expect(answer.hasPrefix("HTTP/1.1 413") && answer.contains("1000 bytes") && answer.contains("Connection: close"))
      }
      let peer = Peer(port: port)
      peer.send("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
      #expect(peer.receivePart()?.hasPrefix("HTTP/1.1 100") == true)
      peer.send(String(repeating: "x", count: 1000))
      #expect(peer.receive(to: "\n").hasSuffix("/ 1000\n"))
    }
  }

  @Test("a head over the limit and one that is none are refused, with a sentence")
  func heads() async throws {
    try await serve { port in
      let heads = [
        ("GET / HTTP/1.1\r\nA: \(String(repeating: "a", count: 17 << 10))", "431"),
        ("GET / HTTP/1.1\r\n" + (0..<100).map { "A\($0): a\r\n" }.joined(), "431"),
        ("\u{1}\u{2}\r\n\r\n", "400"),
      ]
      for (head, status) in heads {
        let peer = Peer(port: port)
        peer.send(head)
        let answer = peer.receive()
        #expect(answer.hasPrefix("HTTP/1.1 \(status)") && answer.contains("the request"), "\(head.prefix(20)): \(answer)")
      }
    }
  }

  @Test("whoever sends nothing, or byte by byte, is ended at the deadline all the same", arguments: ["", "head", "body"])
  func deadlines(what: String) async throws {
    let limits = Self.limits {
      if what == "" { $0.idleTimeout = .milliseconds(300) }
      if what == "head" { $0.headTimeout = .milliseconds(300) }
      if what == "body" { $0.bodyTimeout = .milliseconds(300) }
    }
    try await serve(limits) { port in
      let peer = Peer(port: port)
      if what == "body" { peer.send("POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n") }
      if what == "" {
        #expect(peer.receivePart() == "")
      } else {
        // Never the last byte: 999 of the body, and a field of the head that goes on. No pace of this loop completes the request.
        var sent = 0
        while sent < 999, peer.send(what == "head" ? (sent == 0 ? "GET / HTTP/1.1\r\nA:" : "a") : "x") {
          sent += 1
          try await Task.sleep(for: .milliseconds(2))
        }
        #expect(peer.receivePart()?.isEmpty ?? true)
      }
    }
  }

  @Test("an answer that is not read is given up at its deadline, and the connection with it")
  func unread() async throws {
    let limits = Self.limits { $0.answerTimeout = .milliseconds(300) }
    let reasons = Reasons()
    try await serve(limits, large: 16 << 20, reasons: reasons) { port in
      let peer = Peer(port: port)
      peer.send(get("/large"))
      while !reasons.contains("the answer was not read within 0.3 seconds") { try await Task.sleep(for: .milliseconds(10)) }
      #expect(peer.receive().utf8.count < 16 << 20)
    }
  }

  @Test("beyond what all connections may hold, the one that has been at its request for longest makes room")
  func heldBytes() async throws {
    let limits = Self.limits { $0.heldBytes = 40 << 20 }
    try await serve(limits, large: 16 << 20) { port in
      let peers = (0..<3).map { _ in Peer(port: port) }
      for peer in peers {
        peer.send(get("/large", "Connection: close\r\n"))
        // Its answer has begun.
        #expect(peer.receivePart()?.hasPrefix("HTTP/1.1 200") == true)
      }
      #expect(peers[0].receive().utf8.count < 16 << 20)
      for peer in peers[1...] { #expect(peer.receive().utf8.count > 15 << 20) }
    }
  }

  @Test(
    "at the limit a new connection takes the place of the one that has waited longest, of a known peer's last, and of none that is answered"
  )
  func room() async throws {
    let gate = DispatchSemaphore(value: 0)
    let limits = Self.limits { $0.connections = 4 }
    let reasons = Reasons()
    try await serve(limits, gate: gate, reasons: reasons) { port in
      let known = Peer(port: port, source: "127.0.0.2")
      known.send(get("/known"))
      #expect(known.receive(to: "\n").hasSuffix("/known 0\n"))
      let answered = Peer(port: port)
      answered.send(get("/blocks"))
      while !reasons.contains("an answer waits") { try await Task.sleep(for: .milliseconds(10)) }
      var waiting = (0..<2).map { _ in Peer(port: port) }
      // More than there is room for: each new one takes the place of the next in the row.
      for number in 0..<20 {
        let next = Peer(port: port)
        next.send(get("/\(number)"))
        #expect(next.receive(to: "\n").hasSuffix("/\(number) 0\n"))
        #expect(waiting.removeFirst().receivePart() == "")
        waiting.append(next)
      }
      gate.signal()
      #expect(answered.receive(to: "\n").hasSuffix("/blocks 0\n"))
      known.send(get("/known"))
      #expect(known.receive(to: "\n").hasSuffix("/known 0\n"))
    }
  }

  @Test("a name that is neither an address nor allowed is refused; so are two, and none")
  func hosts() async throws {
    try await serve(hosts: HostNames(["audit.example.com"])) { port in
      let fields = [
        ("Host: 127.0.0.1:7412\r\n", 200), ("Host: [::1]:80\r\n", 200), ("Host: LOCALHOST\r\n", 200), ("Host: audit.example.com.\r\n", 200),
        ("Host: 10.0.0.1\r\n", 200), ("Host: evil.example:7412\r\n", 421), ("Host: 127.evil.example\r\n", 421),
        ("Host: localhost.evil.example\r\n", 421), ("Host: 127.0.0.1.\r\n", 200), ("Host: [::1].evil.example\r\n", 421),
        ("Host: localhost:80@evil.example\r\n", 421), ("Host: \r\n", 421), ("", 400), ("Host: localhost\r\nHost: localhost\r\n", 400),
      ]
      for (field, status) in fields {
        let peer = Peer(port: port)
        peer.send(get("/", field + "Connection: close\r\n"))
        #expect(peer.receive().hasPrefix("HTTP/1.1 \(status)"), "\(field)")
      }
    }
  }
}
