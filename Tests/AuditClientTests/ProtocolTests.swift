import AuditClient
import AuditSchema
import Testing

@Suite(.timeLimit(.minutes(1)))
struct ProtocolTests {
  private func configuration(_ port: Int) -> ClientConfiguration {
    var configuration = ClientConfiguration(address: .tcp(host: "127.0.0.1", port: port))
    configuration.timeout = .seconds(30)
    return configuration
  }

  @Test("a welcome that comes byte by byte is a welcome")
  func bytewise() async throws {
    try await FakeServer(answer: FakeServer.welcome, isBytewise: true).with { port in
      let client = try await AuditClient.connect(configuration(port), logger: quiet)
      #expect(client.welcome.server == "fake")
      await client.close()
    }
  }

  @Test("a frame's length over the limit ends the connection, before any of what it announces has come")
  func lengthOverTheLimit() async throws {
    try await FakeServer(answer: [0x80, 0x80, 0x80, 0x05]).with { port in
      let error = await #expect(throws: ClientError.self) { try await AuditClient.connect(configuration(port), logger: quiet) }
      #expect(error?.code == .protocolViolation)
      #expect(error?.message.contains("\(5 << 21)") == true)
    }
  }

  @Test("a server of another protocol is told apart from one of this")
  func otherProtocol() async throws {
    let answer = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
    try await FakeServer(answer: Array(answer.utf8)).with { port in
      let error = await #expect(throws: ClientError.self) { try await AuditClient.connect(configuration(port), logger: quiet) }
      #expect(error?.code == .protocolViolation)
      #expect(error?.message.contains("127.0.0.1:\(port)") == true)
    }
  }

  @Test("a server that does not answer a hello, or a request, is a timeout that says how long was waited")
  func silence() async throws {
    var hasty = ClientConfiguration(address: .tcp(host: "127.0.0.1", port: 1))
    hasty.timeout = .seconds(2)
    try await FakeServer(answer: []).with { [hasty] port in
      var configuration = hasty
      configuration.address = .tcp(host: "127.0.0.1", port: port)
      let error = await #expect(throws: ClientError.self) { try await AuditClient.connect(configuration, logger: quiet) }
      #expect(error?.code == .timeout)
      #expect(error?.message.contains("2 s") == true)
    }
    try await FakeServer(answer: FakeServer.welcome).with { [hasty] port in
      var configuration = hasty
      configuration.address = .tcp(host: "127.0.0.1", port: port)
      let client = try await AuditClient.connect(configuration, logger: quiet)
      let error = await #expect(throws: ClientError.self) { try await client.health() }
      #expect(error?.code == .timeout)
      #expect(client.closeReason == nil)
      await client.close()
    }
  }

  @Test(
    "an answer that does not say of each event what became of it is none, and nothing counts as stored",
    arguments: [
      Appended(recorded: 0, firstSequence: nil), Appended(recorded: 1, firstSequence: 3), Appended(recorded: 3, firstSequence: 3),
      Appended(recorded: 2, firstSequence: nil), Appended(recorded: 2, firstSequence: 1, scatteredSequences: [1]),
      Appended(recorded: 2, firstSequence: 1, scatteredSequences: [1, 3, 4]), Appended(recorded: 2, firstSequence: 1, duplicates: 3),
      Appended(recorded: 1, ignoredEvents: [2], firstSequence: 3), Appended(recorded: 0, ignoredEvents: [1, 1], firstSequence: nil),
    ])
  func answerWithoutEvents(appended: Appended) async throws {
    try await FakeServer(answer: FakeServer.welcome, ServerFrameEncoder().appended(id: 2, appended)).with { port in
      let client = try await AuditClient.connect(configuration(port), logger: quiet)
      let error = await #expect(throws: ClientError.self) { try await client.append([numbered(1), numbered(2)]) }
      #expect(error?.code == .protocolViolation)
      await client.close()
    }
  }

  @Test("a connection whose server has vanished without a word is found dead")
  func keepAlive() async throws {
    try await FakeServer(answer: FakeServer.welcome).with { port in
      var configuration = configuration(port)
      configuration.timeout = .seconds(2)
      configuration.keepAlive = .milliseconds(50)
      let client = try await AuditClient.connect(configuration, logger: quiet)
      var events = client.subscribe().makeAsyncIterator()
      let error = await #expect(throws: ClientError.self) { try await events.next() }
      #expect(error?.code == .connectionLost)
      #expect(error?.message.contains("dead") == true)
    }
  }
}
