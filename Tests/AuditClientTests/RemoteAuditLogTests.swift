import AuditClient
import AuditLog
import AuditSchema
import Testing

@Suite(.timeLimit(.minutes(4)))
struct RemoteAuditLogTests {
  @Test("through a network that cuts connections and delivers late, every event is stored once and in order")
  func everyEventOnce() async throws {
    let seed = SeededGenerator.printedSeed("everyEventOnce")
    let count = 5000
    try await TestServer.with { server in
      let proxy = CuttingProxy(serverPort: server.port.number, seed: seed, budget: 200...40_000, holdsBack: true)
      let port = try await proxy.start()
      let log = try RemoteAuditLog(configuration: patient(server.configuration(port: port)), logger: quiet)
      for index in 0..<count {
        try log.enqueue(numbered(index))
        // In pieces, so that there are many appends to be cut.
        if index % 20 == 0 { await Task.yield() }
        if index % 500 == 499 { #expect(try await eventually { log.pending < 100 }, "seed \(seed)") }
      }
      #expect(await log.close(flushTimeout: .seconds(100)) == 0, "seed \(seed)")
      #expect(log.lost == 0)
      #expect(try server.store.allRecords().map { try number(of: $0) } == Array(0..<count), "seed \(seed)")
      #expect(proxy.cuts >= 10, "seed \(seed)")
      try await proxy.stop()
    }
  }

  @Test("the same with events among them that the server refuses: their callers hear of it, the others are stored once and in order")
  func refusedAmongGood() async throws {
    let seed = SeededGenerator.printedSeed("refusedAmongGood")
    let count = 1500
    try await TestServer.with { server in
      let proxy = CuttingProxy(serverPort: server.port.number, seed: seed, budget: 200...30_000, holdsBack: true)
      let port = try await proxy.start()
      let log = try RemoteAuditLog(configuration: patient(server.configuration(port: port)), logger: quiet)
      var generator = SeededGenerator(seed: seed)
      var good: [Int] = []
      var bad = 0
      for index in 0..<count {
        if Int.random(in: 0..<30, using: &generator) == 0 {
          bad += 1
          try log.enqueue(.custom(json: Array("[\(index)".utf8)))
        } else {
          good.append(index)
          try log.enqueue(numbered(index))
        }
        if index % 10 == 0 { await Task.yield() }
        if index % 100 == 99 { #expect(try await eventually { log.pending < 50 }, "seed \(seed)") }
      }
      #expect(await log.close(flushTimeout: .seconds(100)) == 0, "seed \(seed)")
      #expect(log.lost == UInt64(bad))
      #expect(try server.store.allRecords().map { try number(of: $0) } == good, "seed \(seed)")
      try await proxy.stop()
    }
  }

  private func patient(_ configuration: ClientConfiguration) -> ClientConfiguration {
    var configuration = configuration
    configuration.reconnect.retriesFirstConnection = true
    return configuration
  }

  @Test("append returns what became of its own event, also when others were sent with it")
  func ownAnswers() async throws {
    try await TestServer.with { server in
      let log = try RemoteAuditLog(configuration: server.configuration(), logger: quiet)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<300 {
          group.addTask {
            switch index % 3 {
            case 0:
              let sequence = try #require(try await log.append(numbered(index)).firstSequence)
              #expect(try number(of: try server.store.allRecords()[Int(sequence)]) == index)
            case 1:
              let ignored = DispatchFailed(envelopeID: nil, channelID: nil, recipientID: nil, reason: nil)
              #expect(try await log.append(.dispatchFailed(ignored)).recorded == 0)
            default:
              let error = await #expect(throws: ClientError.self) { try await log.append(.custom(json: Array("no".utf8))) }
              #expect(error?.code == .refused(.invalidJSON))
              #expect(error?.refusal?.event == nil)
            }
          }
        }
        try await group.waitForAll()
      }
      #expect(server.store.nextSequence == 100)
      await log.close()
    }
  }

  @Test("a listener's events become records")
  func listener() async throws {
    try await TestServer.with { server in
      let log: any HubListener & Sendable
      let remote = try RemoteAuditLog(configuration: server.configuration(), logger: quiet)
      log = remote
      try await log.onAgentEvent(AgentEvent(agentID: "a", kind: "registered"))
      try await log.onChannelEvent(ChannelEvent(channelID: "c", kind: "closed"))
      try await log.onExpectationFired(ExpectationFired(channelID: "c", expectation: "e", onViolation: "warn"))
      try await log.onTaskEvent(TaskEvent(taskID: "t", kind: "completed"))
      try await log.onTurnFailed(TurnFailed(channelID: "c", agentID: "a", envelopeID: "e", exceptionType: "E", exceptionMessage: "m"))
      try await log.onInboxPressure(InboxPressure(agentID: "a", pending: 1, capacity: 2))
      #expect(await remote.close(flushTimeout: .seconds(20)) == 0)
      #expect(
        try server.store.allRecords().map(\.kind)
          == ["agent_registered", "channel_closed", "expectation_violated", "task_terminated", "turn_failed"])
    }
  }

  @Test("a full queue says so at once, counts what it did not take, and what it took is stored when the server comes")
  func queueFull() async throws {
    let store = MemoryStore()
    let first = try await TestServer.start(store: store)
    try await first.stop()
    let log = try RemoteAuditLog(configuration: patient(first.configuration()), queueEvents: 3, logger: quiet)
    for index in 0..<3 { try log.enqueue(numbered(index)) }
    #expect { try log.enqueue(numbered(3)) } throws: { ($0 as? ClientError)?.code == .queueFull }
    let error = await #expect(throws: ClientError.self) { try await log.append(numbered(4)) }
    #expect(error?.code == .queueFull)
    #expect(log.lost == 2)
    let second = try await TestServer.start(store: MemoryStore(reopening: store), port: first.port)
    #expect(try await eventually { log.pending == 0 })
    #expect(try await log.append(numbered(5)).firstSequence == 3)
    #expect(try second.store.allRecords().map { try number(of: $0) } == [0, 1, 2, 5])
    await log.close()
    try await second.stop()
  }

  @Test("while the disk is full events wait, and are stored once when there is room")
  func storageFull() async throws {
    try await TestServer.with { server in
      let log = try RemoteAuditLog(configuration: server.configuration(), logger: quiet)
      try await log.append(numbered(0))
      server.store.refuse(commits: 5)
      for index in 1..<50 {
        try log.enqueue(numbered(index))
        await Task.yield()
      }
      #expect(await log.close(flushTimeout: .seconds(60)) == 0)
      #expect(log.lost == 0)
      #expect(try server.store.allRecords().map { try number(of: $0) } == Array(0..<50))
    }
  }

  @Test("when the log has failed callers hear it, and after a restart of the server appends are stored again")
  func logFailed() async throws {
    let first = try await TestServer.start()
    let log = try RemoteAuditLog(configuration: first.configuration(), logger: quiet)
    try await log.append(numbered(0))
    first.store.fail()
    for index in 1...3 {
      let error = await #expect(throws: ClientError.self) { try await log.append(numbered(index)) }
      #expect(error?.code == .refused(.logFailed))
    }
    try await first.stop()
    let second = try await TestServer.start(store: MemoryStore(reopening: first.store), port: first.port)
    #expect(try await log.append(numbered(4)).firstSequence == 1)
    #expect(try second.store.allRecords().map { try number(of: $0) } == [0, 4])
    await log.close()
    try await second.stop()
  }

  @Test("a server that restarts in between gets every event once")
  func serverRestarts() async throws {
    var server = try await TestServer.start()
    let log = try RemoteAuditLog(configuration: server.configuration(), logger: quiet)
    for round in 0..<5 {
      for index in round * 200..<(round + 1) * 200 {
        try log.enqueue(numbered(index))
        if index % 7 == 0 { await Task.yield() }
      }
      try await server.stop()
      server = try await TestServer.start(store: MemoryStore(reopening: server.store), port: server.port)
    }
    #expect(await log.close(flushTimeout: .seconds(60)) == 0)
    #expect(try server.store.allRecords().map { try number(of: $0) } == Array(0..<1000))
    try await server.stop()
  }

  @Test("a named producer goes on with its numbers after the process was restarted")
  func namedProducer() async throws {
    try await TestServer.with { server in
      for index in 0..<3 {
        let log = try RemoteAuditLog(configuration: server.configuration(producer: "p"), logger: quiet)
        try await log.append(numbered(index))
        await log.close()
      }
      #expect(try server.store.allRecords().map(\.producerSequence) == [1, 2, 3])
    }
  }

  @Test("whoever takes a producer over gets it taken back: each event is stored once, whatever numbers the other has used or skipped")
  func takenOver() async throws {
    try await TestServer.with { server in
      let log = try RemoteAuditLog(configuration: server.configuration(producer: "p"), logger: quiet)
      try await log.append(numbered(0))
      var configuration = server.configuration(producer: "p")
      configuration.producerNext = 50_000
      for index in 1..<150 { try log.enqueue(numbered(index)) }
      let stranger = try await AuditClient.connect(configuration, logger: quiet)
      #expect(stranger.welcome.producerNext == 50_000)
      for index in 150..<300 {
        try log.enqueue(numbered(index))
        if index % 10 == 0 { await Task.yield() }
      }
      try await log.append(numbered(300))
      #expect(try server.store.allRecords().filter { $0.hub == "hub" }.map { try number(of: $0) } == Array(0...300))
      let error = await #expect(throws: ClientError.self) { try await stranger.append([numbered(-1)], producerSequence: 50_000) }
      #expect(error?.code == .refused(.producerSuperseded))
      // While the owner is connected, nobody without its token gets it again: told so, and that trying again may help.
      let refused = await #expect(throws: ClientError.self) { try await AuditClient.connect(configuration, logger: quiet) }
      #expect(refused?.code == .refused(.producerSuperseded) && refused?.isRetryable == true)
      await log.close()
      #expect(log.lost == 0)
      await stranger.close()
      #expect(
        try await eventually {
          try server.store.allRecords().filter { $0.hub == "hubaudit" }.map(\.kind)
            == ["producer_jumped", "producer_taken_over", "producer_taken_back"]
        })
    }
  }

  @Test("a hub's name that the server does not take is told to whoever appends")
  func badName() async throws {
    try await TestServer.with { server in
      let log = try RemoteAuditLog(configuration: server.configuration(hub: String(repeating: "h", count: 300)), logger: quiet)
      let error = await #expect(throws: ClientError.self) { try await log.append(numbered(0)) }
      #expect(error?.code == .refused(.invalidRequest))
      #expect(throws: ClientError.self) { try RemoteAuditLog(configuration: server.configuration(hub: nil), logger: quiet) }
    }
  }

  @Test("after close nothing is taken, and what could not be delivered is counted")
  func closing() async throws {
    let server = try await TestServer.start()
    try await server.stop()
    let log = try RemoteAuditLog(configuration: patient(server.configuration()), logger: quiet)
    try log.enqueue(numbered(0))
    let waiting = Task { () -> ClientError? in
      do throws(ClientError) {
        _ = try await log.append(numbered(1))
        return nil
      } catch {
        return error
      }
    }
    #expect(try await eventually { log.pending == 2 })
    #expect(await log.close(flushTimeout: .milliseconds(10)) == 2)
    #expect(await waiting.value?.code == .closed)
    #expect(log.lost == 2)
    #expect { try log.enqueue(numbered(2)) } throws: { ($0 as? ClientError)?.code == .closed }
  }

  @Test("a caller that gives up leaves its event in the queue")
  func cancelledAppend() async throws {
    let store = MemoryStore()
    let first = try await TestServer.start(store: store)
    try await first.stop()
    let log = try RemoteAuditLog(configuration: patient(first.configuration()), logger: quiet)
    let waiting = Task { () -> ClientError? in
      do throws(ClientError) {
        _ = try await log.append(numbered(0))
        return nil
      } catch {
        return error
      }
    }
    #expect(try await eventually { log.pending == 1 })
    waiting.cancel()
    #expect(await waiting.value?.code == .cancelled)
    let second = try await TestServer.start(store: MemoryStore(reopening: store), port: first.port)
    #expect(await log.close(flushTimeout: .seconds(20)) == 0)
    #expect(try second.store.allRecords().map { try number(of: $0) } == [0])
    try await second.stop()
  }
}
