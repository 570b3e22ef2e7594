import AuditClient
import AuditLog
import AuditSchema
import AuditServer
import Testing

@Suite(.timeLimit(.minutes(2)))
struct AuditClientTests {
  @Test("hello, ping, health and schema are answered")
  func basics() async throws {
    try await TestServer.with { server in
      let client = try await AuditClient.connect(server.configuration(), logger: quiet)
      #expect(client.welcome.logID == server.store.start.logID)
      #expect(client.welcome.nextSequence == 0)
      #expect(client.welcome.identity == "anonymous")
      try await client.ping(payload: [1, 2, 3])
      let health = try await client.health()
      #expect(health.status == .ok)
      #expect(health.connections == 1)
      #expect(health.now > 0 && health.signer == nil && health.quorum == nil && health.witnesses.isEmpty)
      #expect(try await client.settings() == TestServer.settings)
      let schema = try await client.schema()
      #expect(schema.descriptorSet == Schema.descriptorSet)
      #expect(schema.sha256 == Schema.sha256)
      await client.close()
      #expect(client.closeReason?.code == .closed)
    }
  }

  @Test("what is appended is read back as it was sent")
  func appendAndRead() async throws {
    try await TestServer.with { server in
      let client = try await AuditClient.connect(server.configuration(hub: "alpha"), logger: quiet)
      let appended = try await client.append([
        numbered(0), .envelopePosted(EnvelopePosted(envelopeID: "e", channelID: "c", senderID: "s")), numbered(1),
      ])
      #expect(appended == Appended(recorded: 2, ignoredEvents: [1], firstSequence: 0))
      var records: [Record] = []
      for try await record in client.read() { records.append(record) }
      #expect(try records.map { try number(of: $0) } == [0, 1])
      #expect(records.map(\.hub) == ["alpha", "alpha"])
      #expect(records.map(\.isIntact) == [true, true])
      await client.close()
    }
  }

  @Test("appends of many tasks share one connection, and each gets its own answer")
  func concurrentAppends() async throws {
    try await TestServer.with { server in
      let client = try await AuditClient.connect(server.configuration(), logger: quiet)
      let answers = try await withThrowingTaskGroup(of: (Int, UInt64).self) { group in
        for index in 0..<500 {
          group.addTask { (index, try #require(try await client.append([numbered(index)]).firstSequence)) }
        }
        return try await group.reduce(into: [UInt64: Int]()) { $0[$1.1] = $1.0 }
      }
      #expect(answers.count == 500)
      for record in try server.store.allRecords() { #expect(try number(of: record) == answers[record.sequence]) }
      await client.close()
    }
  }

  @Test("a read goes backwards, has a limit, and filters")
  func readOptions() async throws {
    try await TestServer.with { server in
      let client = try await AuditClient.connect(server.configuration(), logger: quiet)
      try await client.append((0..<1000).map { numbered($0) })
      try await client.append([.agent(AgentEvent(agentID: "a7", kind: "registered", name: "seven"))])
      func sequences(_ read: LogRead) async throws -> [UInt64] {
        var sequences: [UInt64] = []
        for try await record in read { sequences.append(record.sequence) }
        return sequences
      }
      #expect(try await sequences(client.read(from: .latest, limit: 3, backwards: true)) == [1000, 999, 998])
      #expect(try await sequences(client.read(from: .sequence(2), backwards: true)) == [1, 0])
      #expect(try await sequences(client.read(from: .after(998))) == [999, 1000])
      #expect(try await sequences(client.read(from: .sequence(10), limit: 2)) == [10, 11])
      #expect(try await sequences(client.read(filter: RecordFilter(agents: ["a7"]))) == [1000])
      #expect(try await sequences(client.read(filter: RecordFilter(kinds: ["agent_registered"], hubs: ["other"]))) == [])
      #expect(try await sequences(client.read()) == Array(0...1000))
      #expect(try await sequences(client.read(backwards: true)) == [])
      await client.close()
    }
  }

  @Test("a read from beyond the end of the log is refused with both positions")
  func readBeyondTheEnd() async throws {
    try await TestServer.with { server in
      let client = try await AuditClient.connect(server.configuration(), logger: quiet)
      var iterator = client.read(from: .sequence(5)).makeAsyncIterator()
      let error = await #expect(throws: ClientError.self) { try await iterator.next() }
      #expect(error?.code == .refused(.invalidRequest))
      #expect(error?.message.contains("5") == true)
      try await client.ping()
      await client.close()
    }
  }

  @Test("a read that is left early ends on the server, and the connection goes on")
  func leavingARead() async throws {
    try await TestServer.with({ $0.limits.reads = 1 }) { server in
      let client = try await AuditClient.connect(server.configuration(), logger: quiet)
      for _ in 0..<40 { try await client.append((0..<100).map { numbered($0, padding: 4000) }) }
      for _ in 0..<3 {
        var seen = 0
        for try await _ in client.read() {
          seen += 1
          if seen == 10 { break }
        }
        // The limit of one read at a time shows whether the server has ended the one before.
        #expect(try await client.read(limit: 2).reduce(0) { sum, _ in sum + 1 } == 2)
      }
      await client.close()
    }
  }

  @Test("a consumer may pause in a read for longer than the server waits for a peer, and the connection serves others meanwhile")
  func slowRead() async throws {
    try await TestServer.with({ $0.writeTimeout = .milliseconds(200) }) { server in
      let client = try await AuditClient.connect(server.configuration(), logger: quiet)
      for first in stride(from: 0, to: 4000, by: 100) {
        try await client.append((first..<first + 100).map { numbered($0, padding: 4000) })
      }
      var next = 0
      for try await record in client.read() {
        #expect(record.sequence == UInt64(next))
        if next % 1000 == 500 {
          try await Task.sleep(for: .milliseconds(600))
          try await client.ping()
          // Not part of the read, which was begun before.
          try await client.append([numbered(9999)])
        }
        next += 1
      }
      #expect(next == 4000)
      await client.close()
    }
  }

  @Test("reads backwards over many pages and with large records see every record once")
  func longReads() async throws {
    try await TestServer.with { server in
      let client = try await AuditClient.connect(server.configuration(), logger: quiet)
      for index in 0..<60 {
        try await client.append((0..<50).map { numbered($0, padding: $0 == 7 && index % 20 == 3 ? 1_000_000 : 200) })
      }
      var sequences: [UInt64] = []
      for try await record in client.read(from: .latest, backwards: true) { sequences.append(record.sequence) }
      #expect(sequences == Array((0..<3000).reversed()))
      sequences = []
      for try await record in client.read(filter: RecordFilter(kinds: ["test"])) { sequences.append(record.sequence) }
      #expect(sequences == Array(0..<3000))
      await client.close()
    }
  }

  @Test("a refused event is named, nothing of its append is stored, and the next append is")
  func refusedEvent() async throws {
    try await TestServer.with { server in
      let client = try await AuditClient.connect(server.configuration(), logger: quiet)
      let error = await #expect(throws: ClientError.self) {
        try await client.append([numbered(0), .custom(json: Array("{".utf8)), numbered(2)])
      }
      #expect(error?.code == .refused(.invalidJSON))
      #expect(error?.refusal?.event == 1)
      let text = await #expect(throws: ClientError.self) {
        try await client.append([numbered(0), .agent(AgentEvent(agentID: "a\0b", kind: "registered"))])
      }
      #expect(text?.code == .refused(.invalidText))
      #expect(text?.refusal?.event == 1)
      let large = await #expect(throws: ClientError.self) { try await client.append([numbered(0, padding: 2 << 20)]) }
      #expect(large?.code == .refused(.limitExceeded))
      #expect(try await client.append([numbered(3)]).firstSequence == 0)
      await client.close()
    }
  }

  @Test("a producer's event that is sent again is stored once")
  func resentEvent() async throws {
    try await TestServer.with { server in
      let client = try await AuditClient.connect(server.configuration(producer: "p"), logger: quiet)
      #expect(client.welcome.producerNext == 1)
      #expect(try await client.append([numbered(0), numbered(1)], producerSequence: 1).duplicates == 0)
      let again = try await client.append([numbered(1), numbered(2)], producerSequence: 2)
      #expect(again == Appended(recorded: 2, firstSequence: 1, duplicates: 1))
      let gap = await #expect(throws: ClientError.self) { try await client.append([numbered(9)], producerSequence: 9) }
      #expect(gap?.refusal?.expectedProducerSequence == 4)
      await client.close()
    }
  }

  @Test("a hello that the server does not take is an error that says why")
  func refusedHello() async throws {
    try await TestServer.with { server in
      let error = await #expect(throws: ClientError.self) {
        try await AuditClient.connect(server.configuration(hub: String(repeating: "h", count: 257)), logger: quiet)
      }
      #expect(error?.code == .refused(.invalidRequest))
      #expect(error?.message.contains("257") == true)
      let producer = await #expect(throws: ClientError.self) {
        try await AuditClient.connect(server.configuration(hub: nil, producer: "p"), logger: quiet)
      }
      #expect(producer?.code == .refused(.invalidRequest))
    }
  }

  @Test("one connection too many is told so")
  func tooManyConnections() async throws {
    try await TestServer.with({ $0.connections = 1 }) { server in
      let first = try await AuditClient.connect(server.configuration(), logger: quiet)
      let error = await #expect(throws: ClientError.self) { try await AuditClient.connect(server.configuration(), logger: quiet) }
      #expect(error?.code == .refused(.tooManyConnections))
      try await first.ping()
      await first.close()
    }
  }

  @Test("without a hub's name an append is refused and the connection goes on")
  func appendWithoutHub() async throws {
    try await TestServer.with { server in
      let client = try await AuditClient.connect(server.configuration(hub: nil), logger: quiet)
      let error = await #expect(throws: ClientError.self) { try await client.append([numbered(0)]) }
      #expect(error?.code == .refused(.invalidRequest))
      try await client.ping()
      await client.close()
    }
  }

  @Test("where nobody listens the error gives the address and a hint")
  func nobodyListens() async throws {
    let server = try await TestServer.start()
    try await server.stop()
    let error = await #expect(throws: ClientError.self) { try await AuditClient.connect(server.configuration(), logger: quiet) }
    #expect(error?.code == .connectionRefused)
    #expect(
      error?.message
        == "cannot connect to 127.0.0.1:\(server.port.number): connection refused (is the server up? set --server or HUBAUDIT_SERVER)")
    let unix = await #expect(throws: ClientError.self) {
      try await AuditClient.connect(ClientConfiguration(address: .unix(path: "/nonexistent/hubaudit.sock")), logger: quiet)
    }
    #expect(unix?.code == .connectionRefused)
    #expect(unix?.message.contains("unix:/nonexistent/hubaudit.sock: no such file or directory") == true)
  }

  @Test("a server that goes away ends what is under way with an error")
  func serverGoesAway() async throws {
    let server = try await TestServer.start()
    let client = try await AuditClient.connect(server.configuration(), logger: quiet)
    try await client.append([numbered(0)])
    var events = client.subscribe().makeAsyncIterator()
    guard case .record? = try await events.next() else { throw ClientError(.closed, "no record") }
    #expect(try await events.next() == .caughtUp(next: 1))
    async let stopped: Void = server.stop()
    let error = await #expect(throws: ClientError.self) { try await events.next() }
    #expect(error?.code == .refused(.draining))
    try await stopped
    let late = await #expect(throws: ClientError.self) { try await client.append([numbered(1)]) }
    #expect(late?.code == .connectionLost)
  }

  @Test("a subscription is sent no more than its credit ahead, and goes on when records are taken")
  func credit() async throws {
    try await TestServer.with { server in
      let client = try await AuditClient.connect(server.configuration(), logger: quiet)
      for first in stride(from: 0, to: 500, by: 100) {
        try await client.append((first..<first + 100).map { numbered($0, padding: 1000) })
      }
      var next: UInt64 = 0
      for try await event in client.subscribe(creditBytes: 5000) {
        guard case .record(let record) = event else {
          #expect(event == .caughtUp(next: 500))
          break
        }
        #expect(record.sequence == next)
        next += 1
      }
      #expect(next == 500)
      await client.close()
    }
  }

  @Test("a subscription that is left ends on the server")
  func leavingASubscription() async throws {
    try await TestServer.with { server in
      let client = try await AuditClient.connect(server.configuration(), logger: quiet)
      for try await event in client.subscribe() {
        #expect(event == .caughtUp(next: 0))
        break
      }
      #expect(try await eventually { try await client.health().subscriptions == 0 })
      await client.close()
    }
  }

  @Test("a task that is cancelled while it waits for a record gets an error, and its subscription ends on the server")
  func cancelledSubscription() async throws {
    try await TestServer.with { server in
      let client = try await AuditClient.connect(server.configuration(), logger: quiet)
      let task = Task { () -> ClientError? in
        do throws(ClientError) {
          for try await _ in client.subscribe() {}
          return nil
        } catch {
          return error
        }
      }
      #expect(try await eventually { try await client.health().subscriptions == 1 })
      task.cancel()
      #expect(await task.value?.code == .cancelled)
      #expect(try await eventually { try await client.health().subscriptions == 0 })
      await client.close()
    }
  }
}
