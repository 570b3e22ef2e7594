import AuditClient
import AuditSchema
import Foundation
import Synchronization
import Testing

/// Tokens: where they come from, where they may go, and how they are renewed.
@Suite(.timeLimit(.minutes(2)))
struct TokenTests {
  private func configuration(_ port: Int, _ token: ClientToken) -> ClientConfiguration {
    var configuration = ClientConfiguration(address: .tcp(host: "127.0.0.1", port: port), hub: "hub")
    configuration.timeout = .seconds(30)
    configuration.token = token
    configuration.reconnect.maximumDelay = .milliseconds(20)
    return configuration
  }

  private static func expiry(in seconds: Double) -> UInt64 { UTCTime.now() + UInt64(seconds * 1e9) }

  @Test("a token goes over TLS, a Unix socket or loopback; to any other address it is an error before connecting")
  func whereTo() async throws {
    for host in ["audit.example", "10.0.0.1", "127.evil.example", "::ffff:10.0.0.1"] {
      var configuration = configuration(1, .text("hat_1_secret"))
      configuration.address = .tcp(host: host, port: 1)
      let error = await connectFailure(of: configuration)
      #expect(error?.code == .invalidConfiguration)
      #expect(error?.message.contains("hubaudits://") == true)
      #expect(error?.message.contains("secret") == false)
      #expect(throws: ClientError.self) { try RemoteAuditLog(configuration: configuration, logger: quiet) }
    }
    for address in [ServerAddress.tcp(host: "localhost", port: 1), .tcp(host: "::1", port: 1), .unix(path: "/nowhere.sock")] {
      var configuration = configuration(1, .text("t"))
      configuration.address = address
      let error = await connectFailure(of: configuration)
      #expect(error?.code != .invalidConfiguration)
    }
  }

  @Test("what is no token is said without what it holds")
  func malformed() async throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("token-\(UUID())").path
    defer { try? FileManager.default.removeItem(atPath: file) }
    let cases = [
      ("", "it is empty"), (" \n", "it is empty"), ("secret one", "not one token"), ("secret\u{e9}", "not one token"),
      (String(repeating: "secret", count: 2731), "the limit for a token is 16384"), (String(repeating: "secret", count: 4000), "more than"),
    ]
    for (text, words) in cases {
      try text.write(toFile: file, atomically: true, encoding: .utf8)
      let error = await connectFailure(of: configuration(1, .file(file)))
      #expect(error?.code == .credentialFile)
      #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
      #expect(error?.message.contains("secret") == false)
    }
    let error = await connectFailure(of: configuration(1, .file("/nowhere/token")))
    #expect(error?.message == "/nowhere/token cannot be read: no such file or directory")
  }

  @Test("a token from a function is renewed on the connection before it expires, and the connection goes on")
  func renewal() async throws {
    let shown = Mutex<[String]>([])
    let server = FrameServer { request, id in
      switch request {
      case .hello(let token):
        shown.withLock { $0.append("hello \(token ?? "")") }
        return .frame(FrameServer.welcome(id, expiresAt: Self.expiry(in: 0.5)))
      case .authenticate(let token):
        let count = shown.withLock { shown in
          shown.append("authenticate \(token)")
          return shown.count
        }
        let expiresAt = count < 3 ? Self.expiry(in: 0.5) : nil
        return .frame(ServerFrameEncoder().authenticated(id: id, identity: "token:1", expiresAt: expiresAt))
      default: return .nothing
      }
    }
    let number = Atomic(0)
    try await server.with { port in
      let token = ClientToken.provided { "t\(number.add(1, ordering: .relaxed).newValue)" }
      let client = try await AuditClient.connect(configuration(port, token), logger: quiet)
      #expect(try await eventually { shown.withLock { $0.count } == 3 })
      #expect(client.closeReason == nil)
      await client.close()
    }
    #expect(shown.withLock { $0 } == ["hello t1", "authenticate t2", "authenticate t3"])
  }

  @Test("a token of another identity on the connection ends it")
  func otherIdentity() async throws {
    let server = FrameServer { request, id in
      switch request {
      case .hello: .frame(FrameServer.welcome(id, expiresAt: Self.expiry(in: 0.1)))
      case .authenticate: .frame(ServerFrameEncoder().authenticated(id: id, identity: "token:2", expiresAt: nil))
      default: .nothing
      }
    }
    try await server.with { port in
      let client = try await AuditClient.connect(configuration(port, .provided { "t" }), logger: quiet)
      #expect(try await eventually { client.closeReason != nil })
      #expect(client.closeReason?.code == .protocolViolation)
      await client.close()
    }
  }

  @Test(
    "an unknown or expired token loses no event: it is said once, events stay, and a new token file delivers them",
    arguments: [RequestError.Code.unauthenticated, .credentialExpired])
  func newFile(code: RequestError.Code) async throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("token-\(UUID())").path
    defer { try? FileManager.default.removeItem(atPath: file) }
    try "old\n".write(toFile: file, atomically: true, encoding: .utf8)
    let attempts = Atomic(0)
    let server = FrameServer { request, id in
      switch request {
      case .hello(let token) where token != "new":
        attempts.add(1, ordering: .relaxed)
        return .last(ServerFrameEncoder().error(id: id, RequestError(code, "not you")))
      case .hello: return .frame(FrameServer.welcome(id))
      case .append(let events): return .frame(ServerFrameEncoder().appended(id: id, Appended(recorded: events, firstSequence: 0)))
      default: return .nothing
      }
    }
    try await server.with { port in
      let (logger, said) = RecordedLog.make()
      let log = try RemoteAuditLog(configuration: configuration(port, .file(file)), logger: logger)
      try log.enqueue(numbered(1))
      #expect(try await eventually { attempts.load(ordering: .relaxed) >= 3 })
      #expect(log.pending == 1)
      #expect(said.errors.count == 1, "\(said.errors)")
      try "new\n".write(toFile: file, atomically: true, encoding: .utf8)
      #expect(try await eventually { log.pending == 0 })
      #expect(log.lost == 0)
      #expect(await log.close() == 0)
    }
  }

  @Test("a follower whose credentials expire goes on when there are new ones")
  func follower() async throws {
    let hellos = Atomic(0)
    let server = FrameServer { request, id in
      switch request {
      case .hello:
        let count = hellos.add(1, ordering: .relaxed).newValue
        if count == 2 || count == 3 {
          return .last(ServerFrameEncoder().error(id: id, RequestError(.unauthenticated, "not you")))
        }
        return .frame(FrameServer.welcome(id))
      // The subscription.
      default:
        return hellos.load(ordering: .relaxed) == 1
          ? .last(ServerFrameEncoder().error(id: nil, RequestError(.credentialExpired, "expired"))) : .nothing
      }
    }
    try await server.with { port in
      let (logger, said) = RecordedLog.make()
      var events = LogFollower(configuration: configuration(port, .provided { "t" }), logger: logger).makeAsyncIterator()
      let event = try await events.next()
      guard case .reconnected? = event else {
        Issue.record("\(String(describing: event))")
        return
      }
      #expect(hellos.load(ordering: .relaxed) == 4)
      #expect(said.errors.count == 2, "\(said.errors)")
    }
  }
}
