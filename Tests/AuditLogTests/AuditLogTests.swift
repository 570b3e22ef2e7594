import AuditLog
import AuditSchema
import Synchronization
import TestSupport
import Testing

@Suite struct AuditLogTests {
  @Test("each listener method appends its record, and those that AG2 leaves alone append none")
  func listener() async throws {
    let fixture = try TemporaryLog()
    let hub: any HubListener = fixture.log
    try await hub.onAgentEvent(AgentEvent(agentID: "a", kind: "registered", at: "t0", name: "Ada"))
    try await hub.onChannelEvent(ChannelEvent(channelID: "c", kind: "closed", at: "t1", reason: "done"))
    try await hub.onExpectationFired(ExpectationFired(channelID: "c", at: "t2", expectation: "e", onViolation: "audit", violators: ["a"]))
    try await hub.onTaskEvent(TaskEvent(taskID: "t", kind: "completed", at: "t3", ownerID: "a"))
    try await hub.onTurnFailed(
      TurnFailed(channelID: "c", agentID: "a", envelopeID: "e", exceptionType: "E", exceptionMessage: "m", at: "t4"))
    try await hub.onEnvelopePosted(EnvelopePosted(envelopeID: "e", channelID: "c", senderID: "a"))
    try await hub.onEnvelopeRejected(EnvelopeRejected(envelopeID: "e", channelID: "c", senderID: "a", reason: "no"))
    try await hub.onDispatchFailed(DispatchFailed(envelopeID: "e", channelID: "c", recipientID: "b", reason: "gone"))
    try await hub.onInboxPressure(InboxPressure(agentID: "a", pending: 9, capacity: 10))
    let records = try fixture.log.readAll()
    #expect(records.map(\.kind) == ["agent_registered", "channel_closed", "expectation_violated", "task_terminated", "turn_failed"])
    #expect(records.map(\.sequence) == [0, 1, 2, 3, 4])
    #expect(records.map(\.at) == ["t0", "t1", "t2", "t3", "t4"])
    #expect(records.allSatisfy { $0.isIntact && $0.hub == "here" })
    #expect(fixture.log.bytesWritten > 0)
  }

  @Test("an ignored event is answered as ignored and leaves no record")
  func ignored() async throws {
    let fixture = try TemporaryLog()
    let answer = try await fixture.log.append([.ignored, .numbered(1), .ignored])
    #expect(answer.recorded == 1)
    #expect(answer.ignoredEvents == [0, 2])
    #expect(answer.firstSequence == 0)
    let none = try await fixture.log.append(.ignored)
    #expect(none.recorded == 0 && none.firstSequence == nil)
    #expect(try fixture.log.readAll().count == 1)
  }

  @Test("records come back after a reopen, across segments, with their bytes")
  func reopen() async throws {
    let fixture = try TemporaryLog(segmentBytes: 64 << 10)
    for number in 0..<2_000 { try await fixture.log.append(.numbered(number)) }
    let before = try fixture.log.readAll()
    try fixture.reopen()
    #expect(fixture.log.store.status.segments > 2)
    #expect(try fixture.log.readAll() == before)
    #expect(before.map(\.sequence) == Array(0..<2_000))
    #expect(zip(before, before.dropFirst()).allSatisfy { $0.receivedAt < $1.receivedAt })
    #expect(try await fixture.log.append(.numbered(0)).firstSequence == 2_000)
  }

  @Test("appends from many tasks get one sequence each, without a gap")
  func concurrent() async throws {
    let fixture = try TemporaryLog()
    let log = fixture.log
    let sequences = try await withThrowingTaskGroup(of: [UInt64].self) { group in
      for task in 0..<20 {
        group.addTask {
          var sequences: [UInt64] = []
          for number in 0..<50 { sequences += try await log.append([.numbered(task), .numbered(number)]).sequences }
          return sequences
        }
      }
      var all: [UInt64] = []
      for try await some in group {
        #expect(some == some.sorted())
        all += some
      }
      return all.sorted()
    }
    #expect(sequences == Array(0..<2_000))
  }

  @Test("subscribers are called in the order of registration with every record, and one that throws hinders nobody")
  func subscribers() async throws {
    struct Failure: Error {}
    let fixture = try TemporaryLog()
    try await fixture.log.append(.numbered(-1))
    let calls = Mutex<[String]>([])
    let (done, finish) = AsyncStream<Void>.makeStream()
    let first = fixture.log.subscribe { record in calls.withLock { $0.append("a\(record.sequence)") } }
    _ = fixture.log.subscribe { _ in throw Failure() }
    _ = fixture.log.subscribe { record in
      calls.withLock { $0.append("b\(record.sequence)") }
      if record.sequence % 3 == 0 { finish.yield() }
    }
    var iterator = done.makeAsyncIterator()
    for number in 0..<3 { try await fixture.log.append(.numbered(number)) }
    await iterator.next()
    #expect(calls.withLock { $0 } == ["a1", "b1", "a2", "b2", "a3", "b3"])
    fixture.log.unsubscribe(first)
    fixture.log.unsubscribe(first)
    for number in 3..<6 { try await fixture.log.append(.numbered(number)) }
    await iterator.next()
    #expect(calls.withLock { $0 }.suffix(3) == ["b4", "b5", "b6"])
  }

  @Test("a log that is closed before a subscriber has read to its end says nothing of an error")
  func closedUnderSubscribers() async throws {
    final class Held: Sendable {
      let released: AsyncStream<Void>.Continuation
      init(_ released: AsyncStream<Void>.Continuation) { self.released = released }
      deinit { released.finish() }
    }
    let lines = LogLines()
    let (came, come) = AsyncStream<Void>.makeStream()
    let (opened, open) = AsyncStream<Void>.makeStream()
    let (released, release) = AsyncStream<Void>.makeStream()
    do {
      let fixture = try TemporaryLog(logger: lines.logger)
      let held = Held(release)
      _ = fixture.log.subscribe { _ in
        come.yield()
        for await _ in opened { break }
        withExtendedLifetime(held) {}
      }
      try await fixture.log.append(.numbered(0))
      for await _ in came { break }
      // This one the subscriber has not read yet.
      try await fixture.log.append(.numbered(1))
      try fixture.log.close()
      open.finish()
    }
    // The subscriber is given up when following has ended.
    for await _ in released {}
    #expect(!lines.contain("following the log ended"))
  }

  @Test("bad input is refused with a reason, and the log goes on")
  func refusals() async throws {
    let fixture = try TemporaryLog()
    await #expect(throws: RequestError.self) { try await fixture.log.append(json: Array("[1]".utf8)) }
    await #expect(throws: RequestError.self) { try await fixture.log.append(.agent(AgentEvent(agentID: "a\0b", kind: "registered"))) }
    await #expect(throws: RequestError.self) {
      try await fixture.log.append(json: Array("{\"kind\": \"\(String(repeating: "k", count: 257))\"}".utf8))
    }
    #expect(try await fixture.log.append(json: Array("{}".utf8)).firstSequence == 0)
    try fixture.log.close()
    await #expect(throws: RequestError.self) { try await fixture.log.append(json: Array("{}".utf8)) }
  }
}
