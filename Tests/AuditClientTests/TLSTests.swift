import AuditClient
import AuditSchema
import Foundation
import NIOSSL
import Testing

/// The client against TLS servers that are in order, and against those that are not.
@Suite(.timeLimit(.minutes(2)))
struct TLSTests {
  private static let ca = Result { try TestCA() }
  private var ca: TestCA { get throws { try Self.ca.get() } }

  private func configuration(_ port: Int, host: String = "localhost", tls: ClientTLS? = nil) throws -> ClientConfiguration {
    var configuration = ClientConfiguration(address: .tls(host: host, port: port))
    configuration.timeout = .seconds(30)
    configuration.tls = try tls ?? ClientTLS(trustRootsFile: ca.certificate)
    return configuration
  }

  private func failure(_ server: FrameServer, host: String = "localhost", tls: ClientTLS? = nil) async throws -> ClientError? {
    try await server.with { port in
      try await connectFailure(of: configuration(port, host: host, tls: tls))
    }
  }

  @Test(
    "a server whose certificate names the host and whose CA is trusted is talked to", arguments: ["localhost", "127.0.0.1", "LOCALHOST"])
  func trusted(host: String) async throws {
    let server = FrameServer(tls: try FrameServer.configuration(try ca.issue("trusted-\(host)")))
    try await server.with { port in
      let client = try await AuditClient.connect(try configuration(port, host: host), logger: quiet)
      #expect(client.welcome.server == "test")
      await client.close()
    }
  }

  @Test("an append of many flushes' size goes over TLS whole")
  func large() async throws {
    let identity = try ca.issue("large")
    let server = FrameServer(tls: try FrameServer.configuration(identity)) { request, id in
      switch request {
      case .hello: .frame(FrameServer.welcome(id))
      case .append(let events): .frame(ServerFrameEncoder().appended(id: id, Appended(recorded: events, firstSequence: 0)))
      default: .nothing
      }
    }
    try await server.with { port in
      let client = try await AuditClient.connect(try configuration(port), logger: quiet)
      let appended = try await client.append((0..<20).map { numbered($0, padding: 30_000) })
      #expect(appended.recorded == 20)
      await client.close()
    }
  }

  @Test("an expired certificate of the server's is called expired")
  func expired() async throws {
    let error = try await failure(
      FrameServer(tls: try FrameServer.configuration(try ca.issue("expired", from: -3, until: -1))))
    #expect(error?.code == .tlsFailed)
    #expect(error?.message.contains("expired at 20") == true, "\(error?.message ?? "")")
  }

  @Test("a certificate of the server's that is not yet valid is called so")
  func notYetValid() async throws {
    let error = try await failure(FrameServer(tls: try FrameServer.configuration(try ca.issue("early", from: 1, until: 3))))
    #expect(error?.code == .tlsFailed)
    #expect(error?.message.contains("valid only from 20") == true, "\(error?.message ?? "")")
  }

  @Test("a certificate of a CA that is not trusted is refused, also by the system's roots")
  func unknownCA() async throws {
    let other = try TestCA(name: "another")
    let identity = try other.issue("server")
    for tls in [nil, ClientTLS()] {
      let error = try await failure(FrameServer(tls: try FrameServer.configuration(identity)), tls: tls)
      #expect(error?.code == .tlsFailed)
      #expect(error?.message.contains("no trusted root has signed") == true, "\(error?.message ?? "")")
    }
  }

  @Test(
    "a certificate for another host is refused: by name, by the address behind the name, by common name, by a wildcard above",
    arguments: ["DNS:other.example", "IP:127.0.0.1", "", "DNS:*.localhost", "URI:spiffe://a/b"])
  func otherHost(names: String) async throws {
    let identity = try ca.issue("other\(names.hashValue.magnitude)", commonName: "localhost", alternativeNames: names)
    let error = try await failure(FrameServer(tls: try FrameServer.configuration(identity)))
    #expect(error?.code == .tlsFailed)
    #expect(error?.message.contains("does not name \"localhost\"") == true, "\(error?.message ?? "")")
  }

  @Test("an address is not named by a DNS name")
  func otherAddress() async throws {
    let identity = try ca.issue("byname", alternativeNames: "DNS:localhost,DNS:127.0.0.1")
    let error = try await failure(FrameServer(tls: try FrameServer.configuration(identity)), host: "127.0.0.1")
    #expect(error?.message.contains("does not name \"127.0.0.1\"") == true, "\(error?.message ?? "")")
  }

  @Test("a server that chose no protocol, or another one, is refused", arguments: [[], ["h2"]])
  func protocolName(protocols: [String]) async throws {
    let identity = try ca.issue("alpn\(protocols.count)")
    let error = try await failure(FrameServer(tls: try FrameServer.configuration(identity, protocols: protocols)))
    #expect(error?.code == .tlsFailed)
    #expect(error?.message.contains("hubaudit/1") == true, "\(error?.message ?? "")")
  }

  @Test("TLS 1.2 alone is refused")
  func oldVersion() async throws {
    var old = try FrameServer.configuration(try ca.issue("old"))
    old.maximumTLSVersion = .tlsv12
    let error = try await failure(FrameServer(tls: old))
    #expect(error?.code == .tlsFailed)
    #expect(error?.message.contains("TLS 1.3") == true, "\(error?.message ?? "")")
  }

  @Test("a server that asks for a client certificate gets it, and its refusals are told apart")
  func clientCertificate() async throws {
    let clients = try TestCA(name: "clients")
    var demanding = try FrameServer.configuration(try ca.issue("demanding"))
    demanding.certificateVerification = .noHostnameVerification
    demanding.trustRoots = .file(clients.certificate)
    func tls(_ identity: TestCA.Identity) throws -> ClientTLS {
      ClientTLS(trustRootsFile: try ca.certificate, certificateFile: identity.certificate, keyFile: identity.key)
    }
    let good = try tls(try clients.issue("hub"))
    try await FrameServer(tls: demanding).with { port in
      try await AuditClient.connect(try configuration(port, tls: good), logger: quiet).close()
    }
    let none = try await failure(FrameServer(tls: demanding))
    #expect(none?.code == .tlsFailed)
    #expect(none?.message.contains("asks for a client certificate") == true, "\(none?.message ?? "")")
    let foreign = try await failure(FrameServer(tls: demanding), tls: try tls(try ca.issue("foreign")))
    #expect(foreign?.code == .tlsFailed)
    #expect(foreign?.message.contains("refused the client's certificate") == true, "\(foreign?.message ?? "")")
    let expired = try await failure(FrameServer(tls: demanding), tls: try tls(try clients.issue("expired", from: -3, until: -1)))
    #expect(expired?.code == .tlsFailed)
    #expect(expired?.message.contains("refused the client's certificate") == true, "\(expired?.message ?? "")")
  }

  @Test("a plain server at a TLS address, and a TLS server at a plain address, are called by their names")
  func mixedUp() async throws {
    let answer = ServerFrameEncoder().error(id: nil, RequestError(.malformedFrame, "not a frame"))
    try await FakeServer(answer: answer).with { port in
      let error = try await connectFailure(of: configuration(port))
      #expect(error?.code == .tlsFailed)
      #expect(error?.message.contains("does not speak TLS") == true, "\(error?.message ?? "")")
    }
    try await FrameServer(tls: try FrameServer.configuration(try ca.issue("mixed"))).with { port in
      var plain = ClientConfiguration(address: .tcp(host: "localhost", port: port))
      plain.timeout = .seconds(30)
      let error = await connectFailure(of: plain)
      #expect(error?.code == .protocolViolation)
      #expect(error?.message.contains("speaks TLS; write hubaudits://localhost:\(port)") == true, "\(error?.message ?? "")")
    }
  }

  @Test("a server that never finishes the handshake is a timeout")
  func silent() async throws {
    try await FakeServer(answer: []).with { port in
      var hasty = try configuration(port)
      hasty.timeout = .milliseconds(300)
      let error = await connectFailure(of: hasty)
      #expect(error?.code == .timeout)
      #expect(error?.message.contains("TLS handshake within 300 ms") == true, "\(error?.message ?? "")")
    }
  }

  @Test("files that are missing, hold no PEM, or do not belong together are named before anything is sent")
  func files() async throws {
    let (one, other) = (try ca.issue("one"), try ca.issue("two"))
    try ca.write("empty.pem", "nothing\n")
    let empty = "\(try ca.directory)/empty.pem"
    let cases: [(ClientTLS, ClientError.Code, String)] = [
      (ClientTLS(trustRootsFile: "/nowhere/ca.pem"), .credentialFile, "/nowhere/ca.pem cannot be read: no such file"),
      (ClientTLS(trustRootsFile: empty), .credentialFile, "empty.pem holds no certificate"),
      (ClientTLS(certificateFile: one.certificate, keyFile: other.key), .credentialFile, "two.key is not the key of the certificate"),
      (ClientTLS(certificateFile: one.certificate, keyFile: empty), .credentialFile, "empty.pem holds no private key"),
      (ClientTLS(certificateFile: one.key, keyFile: one.key), .credentialFile, "one.key holds no certificate"),
      (ClientTLS(certificateFile: one.certificate), .invalidConfiguration, "a certificate without its private key"),
      (ClientTLS(keyFile: one.key), .invalidConfiguration, "a private key without its certificate"),
    ]
    for (tls, code, words) in cases {
      let error = try await connectFailure(of: configuration(1, tls: tls))
      #expect(error?.code == code)
      #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }
  }

  @Test("TLS files with a plain address are an error that says so")
  func plainAddress() async throws {
    for address in [ServerAddress.tcp(host: "localhost", port: 1), .unix(path: "/nowhere.sock")] {
      var plain = ClientConfiguration(address: address)
      plain.tls = ClientTLS()
      let error = await connectFailure(of: plain)
      #expect(error?.code == .invalidConfiguration)
      #expect(error?.message.contains("an address without TLS") == true)
    }
  }

  @Test("a log client keeps its events through an expired certificate of the server's, and delivers them when there is a new one")
  func rotation() async throws {
    let expired = try FrameServer.configuration(try ca.issue("was", from: -3, until: -1))
    let good = try FrameServer.configuration(try ca.issue("now"))
    let server = FrameServer(tls: expired) { request, id in
      switch request {
      case .hello: .frame(FrameServer.welcome(id))
      case .append(let events): .frame(ServerFrameEncoder().appended(id: id, Appended(recorded: events, firstSequence: 0)))
      default: .nothing
      }
    }
    try await server.with { port in
      var configuration = try configuration(port)
      configuration.hub = "hub"
      configuration.reconnect.maximumDelay = .milliseconds(50)
      let (logger, said) = RecordedLog.make()
      let log = try RemoteAuditLog(configuration: configuration, logger: logger)
      try log.enqueue(numbered(1))
      #expect(try await eventually { said.errors.contains { $0.contains("expired at") } })
      #expect(log.pending == 1)
      server.change(good)
      #expect(try await eventually { log.pending == 0 })
      #expect(log.lost == 0)
      // Once, however often it was tried.
      #expect(said.errors.count == 1)
      #expect(await log.close() == 0)
    }
  }
}
