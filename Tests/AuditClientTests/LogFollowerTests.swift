import AuditClient
import AuditSchema
import AuditServer
import Testing

@Suite(.timeLimit(.minutes(4)))
struct LogFollowerTests {
  @Test("through a network that cuts connections a follower sees every record once, in order", arguments: [false, true])
  func everyRecordOnce(isFiltered: Bool) async throws {
    let seed = SeededGenerator.printedSeed("everyRecordOnce(\(isFiltered))")
    let before = 100_000
    let count = before + 5_000
    try await TestServer.with { server in
      let proxy = CuttingProxy(serverPort: server.port.number, seed: seed, budget: 300...(isFiltered ? 120_000 : 240_000))
      let port = try await proxy.start()
      let writer = try await AuditClient.connect(server.configuration(), logger: quiet)
      // Most of the log is there before, the rest comes while it is followed.
      for first in stride(from: 0, to: before, by: 500) { try await writer.append((first..<first + 500).map { numbered($0) }) }
      async let written: Void = {
        for first in stride(from: before, to: count, by: 50) { try await writer.append((first..<first + 50).map { numbered($0) }) }
      }()
      var configuration = server.configuration(port: port)
      configuration.reconnect.retriesFirstConnection = true
      let filter = isFiltered ? RecordFilter(kinds: ["test"], hubs: ["hub"]) : RecordFilter()
      var next: UInt64 = 0
      var reconnections = 0
      for try await event in LogFollower(configuration: configuration, filter: filter, creditBytes: 64 << 10, logger: quiet) {
        switch event {
        case .record(let record):
          try #require(record.sequence == next, "seed \(seed)")
          #expect(try number(of: record) == Int(next))
          next += 1
        case .caughtUp(let position), .progress(let position): #expect(position >= next, "seed \(seed)")
        case .reconnected(let position, _):
          reconnections += 1
          #expect(position ?? 0 >= next, "seed \(seed)")
        }
        if next == count { break }
      }
      try await written
      #expect(next == count)
      #expect(reconnections >= 20, "seed \(seed): \(proxy.cuts) cuts")
      await writer.close()
      try await proxy.stop()
    }
  }

  @Test("a follower from the latest position misses nothing that comes while its first connection is lost")
  func latestSurvivesALostConnection() async throws {
    let store = MemoryStore()
    let first = try await TestServer.start(store: store)
    let writer = try await AuditClient.connect(first.configuration(), logger: quiet)
    try await writer.append([numbered(0)])
    var events = LogFollower(configuration: first.configuration(), from: .latest, logger: quiet).makeAsyncIterator()
    #expect(try await events.next() == .caughtUp(next: 1))
    await writer.close()
    try await first.stop()

    let second = try await TestServer.start(store: MemoryStore(reopening: store), port: first.port)
    let other = try await AuditClient.connect(second.configuration(), logger: quiet)
    try await other.append([numbered(1)])
    guard case .reconnected(next: 1, _)? = try await events.next() else { throw ClientError(.closed, "no reconnection") }
    guard case .record(let record)? = try await events.next() else { throw ClientError(.closed, "no record") }
    #expect(record.sequence == 1)
    await other.close()
    try await second.stop()
  }

  @Test("a follower that finds another log at its address stops and says so")
  func otherLog() async throws {
    let first = try await TestServer.start()
    var events = LogFollower(configuration: first.configuration(), logger: quiet).makeAsyncIterator()
    #expect(try await events.next() == .caughtUp(next: 0))
    try await first.stop()
    let second = try await TestServer.start(store: MemoryStore(logID: Array(17...32)), port: first.port)
    let error = await #expect(throws: ClientError.self) { try await events.next() }
    #expect(error?.code == .otherLog)
    try await second.stop()
  }

  @Test("a follower that finds an older copy of its log stops and says so")
  func olderCopy() async throws {
    let first = try await TestServer.start()
    let writer = try await AuditClient.connect(first.configuration(), logger: quiet)
    try await writer.append([numbered(0)])
    var events = LogFollower(configuration: first.configuration(), from: .latest, logger: quiet).makeAsyncIterator()
    #expect(try await events.next() == .caughtUp(next: 1))
    await writer.close()
    try await first.stop()
    let second = try await TestServer.start(store: MemoryStore(), port: first.port)
    let error = await #expect(throws: ClientError.self) { try await events.next() }
    #expect(error?.code == .refused(.historyDiffers) && error?.refusal?.differsFrom == 0)
    try await second.stop()
  }

  @Test(
    "a follower that finds its log gone on differently stops and says so, also where it is longer than what it has seen",
    arguments: [RecordFilter(), RecordFilter(kinds: ["test"]), RecordFilter(kinds: ["none"])], [false, true])
  func goneOnDifferently(filter: RecordFilter, isPushedLive: Bool) async throws {
    let first = try await TestServer.start()
    let writer = try await AuditClient.connect(first.configuration(), logger: quiet)
    if !isPushedLive { try await writer.append((0..<6).map { numbered($0) }) }
    var events = LogFollower(configuration: first.configuration(), filter: filter, logger: quiet).makeAsyncIterator()
    while true {
      if case .caughtUp? = try await events.next() { break }
    }
    if isPushedLive { try await writer.append((0..<6).map { numbered($0) }) }
    while events.history?.size != 6 { _ = try await events.next() }
    var records: [Record] = []
    for try await record in writer.read() { records.append(record) }
    let history = try #require(events.history)
    #expect(history == LogHistory(logID: Array(1...16), after: records[5]))
    await writer.close()
    try await first.stop()

    // The same log by its id, with as many records and more: others.
    let second = try await TestServer.start(store: MemoryStore(), port: first.port)
    let other = try await AuditClient.connect(second.configuration(), logger: quiet)
    try await other.append((0..<20).map { numbered($0) })
    let error = await #expect(throws: ClientError.self) {
      while try await events.next() != nil {}
    }
    #expect(error?.code == .refused(.historyDiffers) && error?.refusal?.differsFrom == 5)
    #expect(error?.message.contains("record 5 is not the one that is known") == true)

    // Whoever kept the position is refused the same, in every way to go on.
    var again = LogFollower(configuration: second.configuration(), from: history.start, history: history, logger: quiet).makeAsyncIterator()
    #expect(await #expect(throws: ClientError.self) { try await again.next() }?.code == .refused(.historyDiffers))
    var subscription = other.subscribe(from: history.start, history: history, filter: filter).makeAsyncIterator()
    #expect(await #expect(throws: ClientError.self) { try await subscription.next() }?.code == .refused(.historyDiffers))
    for backwards in [false, true] {
      var read = other.read(from: .latest, history: history, filter: filter, backwards: backwards).makeAsyncIterator()
      #expect(await #expect(throws: ClientError.self) { try await read.next() }?.code == .refused(.historyDiffers))
    }
    await other.close()
    try await second.stop()
  }

  @Test("every position that a server tells has the leaf hash of the record before it")
  func toldLeafHashes() async throws {
    try await TestServer.with { server in
      let writer = try await AuditClient.connect(server.configuration(), logger: quiet)
      // Twice as much as the server keeps in memory would be no other: this goes by its commits, from memory and from the store.
      for first in stride(from: 0, to: 600, by: 50) { try await writer.append((first..<first + 50).map { numbered($0, padding: 900) }) }
      var leaves: [[UInt8]] = []
      for try await record in writer.read() { leaves.append(record.leafHash) }
      for filter in [RecordFilter(), RecordFilter(kinds: ["test"]), RecordFilter(kinds: ["none"])] {
        for first: UInt64 in [0, 1, 77, 599, 600] {
          var events = LogFollower(
            configuration: server.configuration(), from: .sequence(first), filter: filter, creditBytes: 5000, logger: quiet
          ).makeAsyncIterator()
          while let event = try await events.next() {
            let history = try #require(events.history)
            #expect(history.leafHash == (history.size == 0 ? nil : leaves[Int(history.size) - 1]), "\(event)")
            if case .caughtUp(let next) = event {
              #expect(next == 600 && history.size == 600)
              break
            }
          }
        }
      }
      await writer.close()
    }
  }

  @Test("what trying again cannot mend is thrown at once")
  func hopeless() async throws {
    try await TestServer.with { server in
      var beyond = LogFollower(configuration: server.configuration(), from: .sequence(7), logger: quiet).makeAsyncIterator()
      let error = await #expect(throws: ClientError.self) { try await beyond.next() }
      #expect(error?.code == .refused(.invalidRequest))
    }
    let gone = try await TestServer.start()
    try await gone.stop()
    var nobody = LogFollower(configuration: gone.configuration(), logger: quiet).makeAsyncIterator()
    let refused = await #expect(throws: ClientError.self) { try await nobody.next() }
    #expect(refused?.code == .connectionRefused)
  }

  @Test("a follower whose consumer was slow beyond the server's patience goes on where it was")
  func starvedOfCredit() async throws {
    try await TestServer.with({ $0.creditTimeout = .milliseconds(150) }) { server in
      let writer = try await AuditClient.connect(server.configuration(), logger: quiet)
      try await writer.append((0..<100).map { numbered($0, padding: 500) })
      var events = LogFollower(configuration: server.configuration(), creditBytes: 4000, logger: quiet).makeAsyncIterator()
      guard case .record? = try await events.next() else { throw ClientError(.closed, "no record") }
      #expect(try await eventually { try await writer.health().subscriptions == 0 })
      var next: UInt64 = 1
      var reconnections = 0
      while next < 100, let event = try await events.next() {
        if case .reconnected = event { reconnections += 1 }
        guard case .record(let record) = event else { continue }
        #expect(record.sequence == next)
        next += 1
      }
      #expect(reconnections >= 1)
      await writer.close()
    }
  }
}
