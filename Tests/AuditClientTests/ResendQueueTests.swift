import AuditClient
import AuditSchema
import Testing

struct ResendQueueTests {
  /// A queue with events "a", "b", ... and what it sends, written down.
  private struct Transcript {
    var queue: ResendQueue
    private var names: [ResendQueue.Token: String] = [:]
    private var batches: [String: UInt64] = [:]

    init(batchEvents: Int = 2, inFlight: Int = 8, events: Int = 100) {
      var limits = ResendQueue.Limits()
      limits.batchEvents = batchEvents
      limits.inFlight = inFlight
      limits.events = events
      queue = ResendQueue(limits: limits)
    }

    mutating func enqueue(_ text: String) throws {
      for name in text.map(String.init) {
        let taken = try queue.enqueue(Array(name.utf8))
        let token = try #require(taken)
        names[token] = name
      }
    }

    /// Everything that may be sent now, as "1ab" for a batch of a and b whose first number is 1.
    mutating func sends() -> [String] {
      var sent: [String] = []
      while let batch = queue.nextBatch() {
        let text = "\(batch.firstNumber)" + batch.events.map { String(decoding: $0, as: UTF8.self) }.joined()
        batches[text] = batch.id
        sent.append(text)
      }
      return sent
    }

    mutating func connect(_ next: UInt64, takenAt: UInt64? = nil, isForgotten: Bool = false, frameBytes: Int = 1 << 20) -> [String] {
      describe(queue.connected(ResendQueue.Standing(next: next, takenAt: takenAt, isForgotten: isForgotten), frameBytes: frameBytes))
    }

    mutating func stored(_ batch: String, first: UInt64 = 0, duplicates: Int = 0) throws -> [String] {
      let count = batch.drop { $0.isNumber }.count
      return describe(
        queue.answered(
          try #require(batches[batch]), .success(Appended(recorded: count, firstSequence: first, duplicates: duplicates))))
    }

    mutating func refused(_ batch: String, _ code: RequestError.Code, event: Int? = nil) throws -> [String] {
      describe(queue.answered(try #require(batches[batch]), .failure(RequestError(code, "no", event: event))))
    }

    private func describe(_ actions: [ResendQueue.Action]) -> [String] {
      actions.map { action in
        switch action {
        case .resolve(let token, let appended):
          names[token]! + "@" + (appended.firstSequence.map { "\($0)" } ?? "-") + (appended.duplicates > 0 ? " again" : "")
        case .fail(let token, let error): names[token]! + " \(error.code)"
        case .pause: "pause"
        case .reconnect: "reconnect"
        }
      }
    }
  }

  @Test("events go out in batches, several in flight, and each gets its own answer")
  func plain() throws {
    var t = Transcript(inFlight: 2)
    try t.enqueue("abcde")
    #expect(t.sends() == [])
    #expect(t.queue.helloNumber == nil)
    #expect(t.connect(7) == [])
    #expect(t.sends() == ["7ab", "9cd"])
    #expect(try t.stored("7ab", first: 40) == ["a@40", "b@41"])
    #expect(t.queue.helloNumber == 9)
    #expect(t.sends() == ["11e"])
    #expect(try t.stored("11e", first: 50) == ["e@50"])
    #expect(try t.stored("9cd", first: 42) == ["c@42", "d@43"])
    #expect(t.queue.isEmpty)
    #expect(t.queue.bytes == 0)
    #expect(t.queue.helloNumber == 12)
  }

  @Test("an ignored event takes a number and no sequence")
  func ignored() throws {
    var t = Transcript(batchEvents: 3)
    try t.enqueue("abc")
    #expect(t.connect(1) == [])
    let next = t.queue.nextBatch()
    let batch = try #require(next)
    let actions = t.queue.answered(batch.id, .success(Appended(recorded: 2, ignoredEvents: [1], firstSequence: 5)))
    #expect(
      actions == [
        .resolve(1, Appended(recorded: 1, firstSequence: 5)), .resolve(2, Appended(recorded: 0, ignoredEvents: [0], firstSequence: nil)),
        .resolve(3, Appended(recorded: 1, firstSequence: 6)),
      ])
    #expect(t.queue.helloNumber == 4)
  }

  @Test("after a lost connection everything unanswered goes out again under its old number")
  func lostConnection() throws {
    var t = Transcript()
    try t.enqueue("abcdef")
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1ab", "3cd", "5ef"])
    #expect(try t.stored("1ab") == ["a@0", "b@1"])
    t.queue.disconnected()
    #expect(t.sends() == [])
    #expect(t.queue.helloNumber == 3)
    #expect(t.connect(5) == [])
    #expect(t.sends() == ["3cd", "5ef"])
    #expect(try t.stored("3cd", first: 2, duplicates: 2) == ["c@2 again", "d@3 again"])
    #expect(try t.stored("5ef", first: 4) == ["e@4", "f@5"])
  }

  @Test("what was answered out of order is not sent again")
  func answeredOutOfOrder() throws {
    var t = Transcript()
    try t.enqueue("abcdef")
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1ab", "3cd", "5ef"])
    #expect(try t.stored("3cd", first: 2) == ["c@2", "d@3"])
    t.queue.disconnected()
    #expect(t.queue.helloNumber == 1)
    #expect(t.connect(5) == [])
    #expect(t.sends() == ["1ab", "5ef"])
  }

  @Test("a refused event fails alone; what came after it moves up and goes out again when its gaps have come back")
  func refusedEvent() throws {
    var t = Transcript(batchEvents: 3)
    try t.enqueue("abcdefg")
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1abc", "4def", "7g"])
    #expect(try t.refused("1abc", .invalidJSON, event: 1) == ["b invalidJSON"])
    #expect(t.sends() == [])
    #expect(try t.refused("4def", .producerGap) == [])
    #expect(t.sends() == [])
    #expect(try t.refused("7g", .producerGap) == [])
    #expect(t.sends() == ["1a"])
    #expect(try t.stored("1a") == ["a@0"])
    #expect(t.sends() == ["2cde", "5fg"])
    #expect(t.queue.helloNumber == 2)
  }

  @Test("a refused event that was sent over a connection that was lost too makes the later ones take fresh numbers")
  func refusedAfterALostConnection() throws {
    var t = Transcript(batchEvents: 3)
    try t.enqueue("abcdef")
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1abc", "4def"])
    // Both batches may still arrive there.
    t.queue.disconnected()
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1abc", "4def"])
    #expect(try t.refused("1abc", .recordTooLarge, event: 1) == ["b recordTooLarge"])
    #expect(try t.refused("4def", .producerGap) == [])
    #expect(t.sends() == ["1a"])
    #expect(try t.stored("1a") == ["a@0", "reconnect"])
    #expect(t.sends() == [])
    #expect(t.queue.helloNumber == 7)
    t.queue.disconnected()
    #expect(t.connect(7) == [])
    #expect(t.sends() == ["7cde", "10f"])
  }

  @Test("a connection that is lost before the gaps came back makes the later ones take fresh numbers")
  func lostBeforeTheGaps() throws {
    var t = Transcript(batchEvents: 3)
    try t.enqueue("abcdef")
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1abc", "4def"])
    #expect(try t.refused("1abc", .invalidJSON, event: 0) == ["a invalidJSON"])
    t.queue.disconnected()
    #expect(t.queue.helloNumber == 7)
    #expect(t.connect(7) == [])
    #expect(t.sends() == ["7bcd", "10ef"])
  }

  @Test("a batch that is refused without naming an event goes out again one by one")
  func isolation() throws {
    var t = Transcript(batchEvents: 3)
    try t.enqueue("abcd")
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1abc", "4d"])
    #expect(try t.refused("1abc", .limitExceeded) == [])
    #expect(try t.refused("4d", .producerGap) == [])
    #expect(t.sends() == ["1a", "2b", "3c", "4d"])
    #expect(try t.refused("2b", .limitExceeded) == ["b limitExceeded"])
    #expect(try t.refused("3c", .producerGap) == [])
    #expect(try t.stored("1a") == ["a@0"])
    #expect(try t.refused("4d", .producerGap) == [])
    #expect(t.sends() == ["2c", "3d"])
  }

  @Test(
    "when the server cannot store now, everything waits and goes out again under the same numbers",
    arguments: [
      RequestError.Code.overloaded, .storageFull, .draining,
    ])
  func retryable(code: RequestError.Code) throws {
    var t = Transcript()
    try t.enqueue("abcd")
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1ab", "3cd"])
    #expect(try t.refused("1ab", code) == ["pause"])
    #expect(try t.refused("3cd", .producerGap) == [])
    #expect(t.sends() == [])
    t.queue.resume()
    #expect(t.sends() == ["1ab", "3cd"])
  }

  @Test("when the log has failed the events of the batch fail, and their numbers are not used again")
  func logFailed() throws {
    var t = Transcript()
    try t.enqueue("abcd")
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1ab", "3cd"])
    #expect(try t.refused("1ab", .logFailed) == ["a logFailed", "b logFailed"])
    #expect(try t.refused("3cd", .producerGap) == ["reconnect"])
    #expect(t.queue.helloNumber == 5)
    t.queue.disconnected()
    #expect(t.connect(5) == [])
    #expect(t.sends() == ["5cd"])
  }

  @Test("an event whose number is used and unknown to the log fails alone; those behind it keep their numbers")
  func unknownNumber() throws {
    var t = Transcript(batchEvents: 3)
    try t.enqueue("abcd")
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1abc", "4d"])
    #expect(try t.refused("1abc", .producerNumberUnknown, event: 1) == ["b producerNumberUnknown"])
    #expect(try t.refused("4d", .producerGap) == [])
    #expect(t.sends() == ["1a", "3cd"])
    #expect(try t.refused("1a", .producerNumberUnknown) == ["a producerNumberUnknown"])
    #expect(try t.stored("3cd", first: 9) == ["c@9", "d@10"])
    #expect(t.queue.isEmpty && t.queue.bytes == 0)
    #expect(t.queue.helloNumber == 5)
  }

  @Test("a gap that nothing explains asks for a new connection")
  func unexplainedGap() throws {
    var t = Transcript()
    try t.enqueue("ab")
    #expect(t.connect(3) == [])
    #expect(t.sends() == ["3ab"])
    #expect(try t.refused("3ab", .producerGap) == ["reconnect"])
    t.queue.disconnected()
    #expect(t.queue.helloNumber == 3)
    #expect(t.connect(3) == [])
    #expect(t.sends() == ["3ab"])
  }

  @Test("where another client has taken the producer over, what was stored is asked for, and the rest goes out under new numbers")
  func takenOver() throws {
    var t = Transcript()
    try t.enqueue("abcdef")
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1ab", "3cd", "5ef"])
    #expect(try t.stored("1ab") == ["a@0", "b@1"])
    #expect(try t.refused("3cd", .producerSuperseded) == ["reconnect"])
    #expect(try t.refused("5ef", .producerSuperseded) == ["reconnect"])
    #expect(t.sends() == [])
    t.queue.disconnected()
    #expect(t.queue.helloNumber == 3)
    // c was stored before, so the server says.
    #expect(t.connect(90, takenAt: 4) == [])
    #expect(t.sends() == ["3c"])
    try t.enqueue("g")
    #expect(t.sends() == [])
    #expect(try t.stored("3c", first: 2, duplicates: 1) == ["c@2 again"])
    #expect(t.queue.helloNumber == 90)
    #expect(t.sends() == ["90de", "92fg"])
    // That welcome's hello may be said again before anything has arrived.
    t.queue.disconnected()
    #expect(t.connect(91, takenAt: 4) == [])
    #expect(t.sends() == ["91de", "93fg"])
    #expect(try t.stored("91de", first: 9) == ["d@9", "e@10"])
    #expect(try t.stored("93fg", first: 11) == ["f@11", "g@12"])
    #expect(t.queue.isEmpty && t.queue.bytes == 0 && t.queue.helloNumber == 95)
  }

  @Test("where nothing says whose the numbers are that another client has used, what was sent fails and the rest goes on")
  func unexplained() throws {
    var t = Transcript()
    try t.enqueue("ab")
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1ab"])
    try t.enqueue("c")
    t.queue.disconnected()
    #expect(t.connect(4) == ["a producerNumberUnknown", "b producerNumberUnknown"])
    #expect(t.sends() == ["4c"])
    #expect(try t.stored("4c") == ["c@0"])
  }

  @Test("a duplicate of what was never sent before is another client's event: this one's is not taken for stored")
  func strangersEvent() throws {
    var t = Transcript(batchEvents: 3)
    try t.enqueue("abcd")
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1abc", "4d"])
    #expect(try t.stored("1abc", duplicates: 2) == ["a producerNumberUnknown", "b producerNumberUnknown", "c@2"])
    #expect(try t.stored("4d", first: 3) == ["d@3"])
    #expect(t.queue.isEmpty && t.queue.bytes == 0)
  }

  @Test("where the server has forgotten the producer, what was sent fails, and the rest goes out under numbers that were never used")
  func forgotten() throws {
    var t = Transcript()
    try t.enqueue("abc")
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1ab", "3c"])
    #expect(try t.stored("1ab") == ["a@0", "b@1"])
    try t.enqueue("d")
    t.queue.disconnected()
    #expect(t.connect(3, isForgotten: true) == ["c producerNumberUnknown", "reconnect"])
    #expect(t.sends() == [])
    #expect(t.queue.helloNumber == 4)
    t.queue.disconnected()
    #expect(t.connect(4) == [])
    #expect(t.sends() == ["4d"])
    #expect(try t.stored("4d", first: 3) == ["d@3"])
    // Nothing is in doubt; the server does not know that.
    t.queue.disconnected()
    #expect(t.connect(5, isForgotten: true) == ["reconnect"])
    #expect(t.queue.helloNumber == 6)

    var new = Transcript()
    try new.enqueue("a")
    #expect(new.connect(1, isForgotten: true) == [])
    #expect(new.sends() == ["1a"])
  }

  @Test("a server that expects a number far below takes what is unanswered under the numbers from there on")
  func numberedDown() throws {
    var t = Transcript()
    #expect(t.connect(500_000) == [])
    try t.enqueue("ab")
    #expect(t.sends() == ["500000ab"])
    t.queue.disconnected()
    t.queue.refused(expectedNumber: 7)
    #expect(t.queue.helloNumber == 7)
    #expect(t.connect(7) == [])
    #expect(t.sends() == ["7ab"])
    #expect(try t.stored("7ab") == ["a@0", "b@1"])
  }

  @Test("an event that fits no frame fails when the limit is known, and takes no number")
  func tooLarge() throws {
    var t = Transcript()
    try t.enqueue("a")
    #expect(try t.queue.enqueue(Array(repeating: 0, count: 100)) == 2)
    try t.enqueue("b")
    let actions = t.queue.connected(ResendQueue.Standing(next: 1), frameBytes: 128)
    #expect(actions.count == 1)
    guard case .fail(2, let error)? = actions.first else { throw ClientError(.closed, "no failure") }
    #expect(error.code == .recordTooLarge)
    #expect(t.sends() == ["1a"])
    #expect(try t.stored("1a") == ["a@0"])
    #expect(t.sends() == ["2b"])
    #expect(throws: RequestError.self) { try t.queue.enqueue(Array(repeating: 0, count: 65)) }
  }

  @Test("a full queue takes nothing, and takes again when something was answered")
  func full() throws {
    var t = Transcript(events: 2)
    try t.enqueue("ab")
    #expect(try t.queue.enqueue([1]) == nil)
    #expect(t.connect(1) == [])
    #expect(t.sends() == ["1ab"])
    #expect(try t.queue.enqueue([1]) == nil)
    #expect(try t.stored("1ab") == ["a@0", "b@1"])
    try t.enqueue("c")
    #expect(t.sends() == ["3c"])
  }
}
