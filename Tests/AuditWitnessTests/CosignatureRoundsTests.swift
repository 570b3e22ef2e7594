import AuditWitness
import MerkleTree
import Testing

/// Which checkpoint goes to whom and when it is published, as a transcript of what happened and what was to be done.
@Suite struct CosignatureRoundsTests {
  private let log: SignedLog
  private let keys: [SignerKey]
  private let start = ContinuousClock.now

  init() throws {
    log = try SignedLog()
    keys = try (0..<3).map { try SignerKey.generate(name: "w\($0)", kind: .cosignature) }
  }

  private func rounds(quorum: String) throws -> CosignatureRounds {
    let lines = keys.enumerated().map { "witness w\($0) \($1.verifier)\n" }.joined()
    let groups = "group two 2 w0 w1 w2\n"
    return CosignatureRounds(policy: try TrustPolicy("\(lines)\(groups)quorum \(quorum)\n".utf8), keys: keys.map(\.verifier))
  }

  private func cosigned(_ witness: Int, _ size: Int) throws -> WitnessReply {
    let checkpoint = try log.checkpoint(size)
    let line = try keys[witness].cosign(checkpoint.checkpoint, time: 1_700_000_000)
    return WitnessReply(status: 200, body: Array("\(line)\n".utf8), to: checkpoint, key: keys[witness].verifier)
  }

  /// Steps a rounds value and writes down what it wants: "submit w0 100 from 0", "publish 100 with w0 w1".
  private final class Transcript {
    var rounds: CosignatureRounds
    var newest: SignedCheckpoint
    var now: ContinuousClock.Instant

    init(_ rounds: CosignatureRounds, _ newest: SignedCheckpoint, _ now: ContinuousClock.Instant) {
      self.rounds = rounds
      self.newest = newest
      self.now = now
    }

    func advance(by time: Duration = .zero) -> [String] {
      now += time
      return text(rounds.advance(newest: newest, now: now))
    }

    func answered(_ witness: Int, _ reply: WitnessReply) -> [String] {
      let actions = rounds.answered(witness, reply, newestSize: newest.checkpoint.size, now: now, jitter: 1)
      return text(actions) + advance()
    }

    /// How long nothing has to be done, if nothing happens.
    var rest: Duration? { rounds.wakeAt.map { $0 - now } }

    /// A publication is carried out as it is written down.
    private func text(_ actions: [CosignatureRounds.Action]) -> [String] {
      for case .publish(let checkpoint, hasQuorum: true) in actions { rounds.shown(withQuorum: checkpoint.checkpoint.size) }
      return actions.map { action in
        switch action {
        case .submit(let witness, let checkpoint, let oldSize): "submit w\(witness) \(checkpoint.checkpoint.size) from \(oldSize)"
        case .publish(let checkpoint, _):
          "publish \(checkpoint.checkpoint.size) with "
            + checkpoint.note.signatures.map(\.keyName).filter { $0.hasPrefix("w") }.sorted().joined(separator: " ")
        }
      }
    }
  }

  private func transcript(quorum: String = "two", size: Int = 100) throws -> Transcript {
    Transcript(try rounds(quorum: quorum), try log.checkpoint(size), start)
  }

  @Test("all witnesses get the same checkpoint; it is published when the quorum is there, and again with what came later")
  func quorum() throws {
    let run = try transcript()
    #expect(run.advance() == ["submit w0 100 from 0", "submit w1 100 from 0", "submit w2 100 from 0"])
    run.newest = try log.checkpoint(200)
    #expect(try run.answered(1, cosigned(1, 100)) == [])
    #expect(try run.answered(0, cosigned(0, 100)) == ["publish 100 with w0 w1"])
    #expect(run.rounds.quorumSize == 100)
    #expect(
      try run.answered(2, cosigned(2, 100)) == [
        "publish 100 with w0 w1 w2", "submit w0 200 from 100", "submit w1 200 from 100", "submit w2 200 from 100",
      ])
  }

  @Test("when all have cosigned the newest checkpoint there is nothing to do, also not when it comes back as published")
  func rest() throws {
    let run = try transcript(quorum: "none")
    #expect(run.advance().count == 3)
    for witness in 0..<2 { #expect(try run.answered(witness, cosigned(witness, 100)) == []) }
    #expect(try run.answered(2, cosigned(2, 100)) == ["publish 100 with w0 w1 w2"])
    #expect(run.rest == nil)
    for witness in 0..<3 { run.newest.add(try keys[witness].cosign(run.newest.checkpoint, time: 1_700_000_000)) }
    #expect(run.advance(by: .seconds(3600)) == [])
    #expect(run.rest == nil)
  }

  @Test("a witness that tells what it holds is asked again from there; one that goes on telling is let be")
  func sizes() throws {
    let run = try transcript(quorum: "none")
    #expect(run.advance().count == 3)
    #expect(run.answered(0, .holds(40)) == ["submit w0 100 from 40"])
    #expect(run.answered(0, .holds(40)) == ["submit w0 100 from 40"])
    #expect(run.answered(0, .holds(0)) == ["submit w0 100 from 0"])
    #expect(run.answered(0, .holds(40)) == [])
    #expect(run.rounds.statuses[0].failure != nil && !run.rounds.statuses[0].isContradicted)
    // It cosigned before a restart of the log: nothing to prove.
    #expect(run.answered(1, .holds(100)) == ["submit w1 100 from 100"])
    #expect(try run.answered(1, cosigned(1, 100)) == [])
    #expect(run.rounds.statuses[1] == status(cosigned: 100))
  }

  @Test("when a witness cosigned is told, also of what was stored before the start")
  func times() throws {
    let run = try transcript()
    #expect(run.advance().count == 3)
    #expect(run.rounds.statuses.map(\.cosignedAt) == [nil, nil, nil])
    #expect(try run.answered(0, cosigned(0, 100)) == [])
    #expect(run.rounds.statuses.map(\.cosignedAt) == [1_700_000_000, nil, nil])
    // A start with a checkpoint that one of them cosigned.
    let again = try transcript()
    let line = try keys[2].cosign(again.newest.checkpoint, time: 1_700_000_001)
    again.newest.add(line)
    #expect(again.advance().count == 3)
    #expect(again.rounds.statuses.map(\.cosignedAt) == [nil, nil, 1_700_000_001])
    #expect(again.rounds.statuses.map(\.cosignedSize) == [0, 0, 100])
  }

  /// What stands of a witness that has answered once.
  private func status(cosigned: UInt64, at time: UInt64? = 1_700_000_000) -> WitnessStatus {
    var status = WitnessStatus()
    status.cosignedSize = cosigned
    status.cosignedAt = time
    return status
  }

  @Test(
    "a witness that holds more than the log has says that the log was rolled back, again and again, and it is forgotten when it cosigns")
  func rollback() throws {
    let run = try transcript()
    #expect(run.advance().count == 3)
    #expect(run.answered(0, .holds(500)) == [])
    #expect(run.rounds.statuses[0].isContradicted && run.rounds.statuses[0].cosignedSize == 500)
    #expect(run.answered(1, .contradicted("422")) == [])
    // Nothing can be proven from 500: asked from 0, it tells again.
    #expect(run.answered(2, .failed("down")) == [])
    #expect(run.advance(by: .seconds(2)) == ["submit w0 100 from 0", "submit w1 100 from 0", "submit w2 100 from 0"])
    #expect(run.answered(0, .holds(500)) == [])
    #expect(run.rounds.statuses.map(\.isContradicted) == [true, true, false])
    #expect(run.rounds.statuses.map(\.failures) == [2, 1, 1])
    run.newest = try log.checkpoint(600)
    _ = run.answered(1, .failed("down"))
    _ = run.answered(2, .failed("down"))
    #expect(run.advance(by: .seconds(60)).first == "submit w0 600 from 500")
    _ = try run.answered(0, cosigned(0, 600))
    #expect(run.rounds.statuses[0].failure == nil && !run.rounds.statuses[0].isContradicted)
  }

  @Test("a witness that holds a newer checkpoint of this log was shown it by another; that is no failure")
  func feeder() throws {
    let run = try transcript(quorum: "none")
    #expect(run.advance().count == 3)
    run.newest = try log.checkpoint(300)
    _ = try run.answered(1, cosigned(1, 100))
    _ = try run.answered(2, cosigned(2, 100))
    #expect(
      run.answered(0, .holds(200)) == [
        "publish 100 with w1 w2", "submit w0 300 from 200", "submit w1 300 from 100", "submit w2 300 from 100",
      ])
    #expect(run.rounds.statuses[0] == status(cosigned: 200, at: nil))
  }

  @Test("a witness that is down is asked again after growing delays, and keeps nothing from the others")
  func down() throws {
    let run = try transcript()
    #expect(run.advance().count == 3)
    #expect(run.answered(0, .failed("down")) == [])
    _ = try run.answered(1, cosigned(1, 100))
    #expect(try run.answered(2, cosigned(2, 100)) == ["publish 100 with w1 w2"])
    var delays: [Duration] = []
    for _ in 0..<9 {
      let rest = try #require(run.rest)
      delays.append(rest)
      #expect(run.advance(by: rest - .milliseconds(1)) == [])
      #expect(run.advance(by: .milliseconds(1)) == ["submit w0 100 from 0"])
      #expect(run.answered(0, .failed("down")) == [])
    }
    #expect(delays == [1, 2, 4, 8, 16, 32, 60, 60, 60].map { .seconds($0) })
    // Meanwhile the log goes on with the others, and the one that is back is asked for the newest only.
    run.newest = try log.checkpoint(200)
    #expect(run.advance() == ["submit w1 200 from 100", "submit w2 200 from 100"])
    _ = try run.answered(1, cosigned(1, 200))
    #expect(try run.answered(2, cosigned(2, 200)) == ["publish 200 with w1 w2"])
    #expect(run.advance(by: .seconds(60)) == ["submit w0 200 from 0"])
    #expect(try run.answered(0, cosigned(0, 200)) == ["publish 200 with w0 w1 w2"])
    #expect(run.rest == nil)
  }

  @Test("a witness that does not answer holds the others up only as long as the quorum needs it")
  func slow() throws {
    let run = try transcript()
    #expect(run.advance().count == 3)
    _ = try run.answered(0, cosigned(0, 100))
    #expect(try run.answered(1, cosigned(1, 100)) == ["publish 100 with w0 w1"])
    run.newest = try log.checkpoint(200)
    #expect(run.advance(by: .milliseconds(999)) == [])
    #expect(run.advance(by: .milliseconds(1)) == ["submit w0 200 from 100", "submit w1 200 from 100"])
    // Its answer to the old one is kept with that; with the next round it is back.
    #expect(try run.answered(2, cosigned(2, 100)) == ["publish 100 with w0 w1 w2"])
    #expect(run.rounds.quorumSize == 100)
    #expect(run.rounds.statuses[2].cosignedSize == 100)
    _ = try run.answered(0, cosigned(0, 200))
    run.newest = try log.checkpoint(300)
    #expect(
      try run.answered(1, cosigned(1, 200)) == [
        "publish 200 with w0 w1", "submit w0 300 from 200", "submit w1 300 from 200", "submit w2 300 from 100",
      ])
  }

  @Test("a witness that is slower than checkpoints come is submitted the newest next; those between are passed over and none waits")
  func slowerThanCheckpoints() throws {
    let run = try transcript(quorum: "w0", size: 1)
    #expect(run.advance().count == 3)
    _ = run.answered(1, .failed("down"))
    _ = run.answered(2, .failed("down"))
    for answered in 0..<5 {
      let submitted = 1 + answered * 10
      // Ten checkpoints come while it thinks.
      for size in submitted + 1...submitted + 10 {
        run.newest = try log.checkpoint(size)
        #expect(run.advance(by: .milliseconds(1)) == [])
      }
      #expect(
        try run.answered(0, cosigned(0, submitted)) == ["publish \(submitted) with w0", "submit w0 \(submitted + 10) from \(submitted)"])
      #expect(run.rounds.quorumSize == UInt64(submitted))
    }
  }

  @Test("without a quorum a slow witness holds nobody up: the others go on, and its cosignature is kept where it belongs")
  func slowWithoutQuorum() throws {
    let run = try transcript(quorum: "none")
    #expect(run.advance().count == 3)
    _ = try run.answered(0, cosigned(0, 100))
    _ = try run.answered(1, cosigned(1, 100))
    run.newest = try log.checkpoint(200)
    #expect(
      run.advance(by: CosignatureRounds.settling) == ["publish 100 with w0 w1", "submit w0 200 from 100", "submit w1 200 from 100"])
    _ = try run.answered(0, cosigned(0, 200))
    #expect(try run.answered(2, cosigned(2, 100)) == ["publish 100 with w0 w1 w2"])
    run.newest = try log.checkpoint(300)
    #expect(
      try run.answered(1, cosigned(1, 200)) == [
        "publish 200 with w0 w1", "submit w0 300 from 200", "submit w1 300 from 200", "submit w2 300 from 100",
      ])
  }

  @Test("without a quorum a cosignature waits a second for the others, not longer")
  func settling() throws {
    let run = try transcript()
    #expect(run.advance().count == 3)
    #expect(try run.answered(0, cosigned(0, 100)) == [])
    #expect(run.rest == CosignatureRounds.settling)
    #expect(run.advance(by: CosignatureRounds.settling) == ["publish 100 with w0"])
    #expect(run.rounds.quorumSize == 0)
    #expect(try run.answered(1, cosigned(1, 100)) == ["publish 100 with w0 w1"])
  }

  @Test("after a restart the stored cosignatures count, and every witness is asked all the same: it may know more than this log")
  func restart() throws {
    let run = try transcript()
    for witness in 0..<2 { run.newest.add(try keys[witness].cosign(run.newest.checkpoint, time: 1)) }
    #expect(run.advance() == ["submit w0 100 from 0", "submit w1 100 from 0", "submit w2 100 from 0"])
    #expect(run.rounds.quorumSize == 100)
    _ = run.answered(0, .failed("down"))
    _ = run.answered(1, .failed("down"))
    #expect(try run.answered(2, cosigned(2, 100)) == ["publish 100 with w0 w1 w2"])
  }

  @Test(
    "answers that are none of the protocol's, or not true, are failures",
    arguments: [
      (200, ""), (200, "x\n"), (200, "{other key}"), (200, "{wrong text}"), (200, "{no newline}"), (200, "{flipped}"), (409, ""),
      (409, "x\n"),
      (409, "100"), (409, "0100\n"), (409, "-1\n"), (409, "18446744073709551616\n"), (404, ""), (403, ""), (500, ""), (503, "later"),
      (301, ""),
      (100, ""),
    ])
  func badReplies(_ status: Int, _ template: String) throws {
    let checkpoint = try log.checkpoint(100)
    let good = try keys[0].cosign(checkpoint.checkpoint, time: 5).description
    let other = try keys[1].cosign(checkpoint.checkpoint, time: 5)
    let wrong = try keys[0].cosign(log.checkpoint(99).checkpoint, time: 5)
    var flipped = Array(good)
    flipped[flipped.count - 8] = flipped[flipped.count - 8] == "A" ? "B" : "A"
    let body = template.replacing("{other key}", with: "\(other)\n").replacing("{wrong text}", with: "\(wrong)\n")
      .replacing("{no newline}", with: good).replacing("{flipped}", with: String(flipped) + "\n")
    guard case .failed(let reason) = WitnessReply(status: status, body: Array(body.utf8), to: checkpoint, key: keys[0].verifier) else {
      Issue.record("\(status) \(body) was taken")
      return
    }
    #expect(!reason.isEmpty)
    // Beside a signature of a key that nobody knows the good one counts.
    let both = WitnessReply(status: 200, body: Array("\(other)\n\(good)\n".utf8), to: checkpoint, key: keys[0].verifier)
    guard case .cosigned = both else {
      Issue.record("the good signature was not found")
      return
    }
  }

  @Test(
    "whatever witnesses answer and whenever: never two submissions to one at a time, no cosignature is lost, and in the end all have cosigned"
  )
  func simulation() throws {
    var random = SeededGenerator(printing: "rounds with random witnesses")
    for _ in 0..<30 {
      var rounds = try rounds(quorum: ["none", "two", "w1"].randomElement(using: &random)!)
      var now = start
      var size = 10
      var shown = try log.checkpoint(size)
      var underWay: [Int: (checkpoint: SignedCheckpoint, oldSize: UInt64)] = [:]
      var held = [Int](repeating: 0, count: 3)
      var given: Set<String> = []
      var kept: Set<String> = []
      func perform(_ actions: [CosignatureRounds.Action]) {
        for action in actions {
          switch action {
          case .submit(let witness, let checkpoint, let oldSize):
            #expect(underWay[witness] == nil)
            #expect(checkpoint.checkpoint.size <= UInt64(size) && oldSize <= checkpoint.checkpoint.size)
            underWay[witness] = (checkpoint, oldSize)
          case .publish(let checkpoint, _):
            if checkpoint.note.text == shown.note.text { shown = checkpoint }
            for line in checkpoint.note.signatures { kept.insert("\(line.keyName) \(checkpoint.checkpoint.size)") }
          }
        }
      }
      func answer(_ witness: Int, honestly: Bool) throws {
        guard let (checkpoint, oldSize) = underWay.removeValue(forKey: witness) else { return }
        var reply: WitnessReply
        if !honestly {
          reply = [.failed("x"), .contradicted("y"), .holds(UInt64.random(in: 0...700, using: &random))].randomElement(using: &random)!
        } else if oldSize != UInt64(held[witness]) {
          reply = .holds(UInt64(held[witness]))
        } else {
          held[witness] = Int(checkpoint.checkpoint.size)
          reply = try cosigned(witness, held[witness])
          given.insert("w\(witness) \(held[witness])")
        }
        perform(rounds.answered(witness, reply, newestSize: UInt64(size), now: now, jitter: 0.7))
      }
      for step in 0..<300 {
        let isEnding = step >= 200
        perform(rounds.advance(newest: shown, now: now))
        if !isEnding, Int.random(in: 0..<4, using: &random) == 0 {
          size += 1
          shown = try log.checkpoint(size)
        }
        for witness in 0..<3 where isEnding || Bool.random(using: &random) {
          try answer(witness, honestly: isEnding || Int.random(in: 0..<5, using: &random) > 0)
        }
        now += isEnding ? .seconds(5) : .milliseconds(Int.random(in: 0..<1500, using: &random))
      }
      #expect(held == [size, size, size])
      #expect(given.subtracting(kept).isEmpty, "cosignatures that were given and not kept")
      #expect(shown.note.signatures.count == 4 && rounds.wakeAt == nil && underWay.isEmpty)
    }
  }

  @Test(
    "a witness' URL is http or https with a host, perhaps a port and a path",
    arguments: [
      ("http://w.example", "w.example", 80, ""), ("http://127.0.0.1:7413/", "127.0.0.1", 7413, ""),
      ("http://[::1]:99/a/b/", "::1", 99, "/a/b"), ("HTTP://w:1/x", "w", 1, "/x"), ("https://w.example", "w.example", 443, ""),
      ("https://[::1]:99/a", "::1", 99, "/a"),
    ])
  func urls(_ text: String, _ host: String, _ port: Int, _ prefix: String) throws {
    let url = try WitnessURL(text)
    #expect(url.host == host && url.port == port && url.prefix == prefix && url.isSecure == text.hasPrefix("https"))
  }

  @Test(
    "other URLs are refused",
    arguments: [
      "", "w.example", "wss://w.example", "http://", "https://", "http:///x", "ftp://w", "http://w?q", "http://w#f", "http://u@w",
      "http://w:0",
    ])
  func badURLs(_ text: String) {
    #expect(throws: WitnessError.self) { _ = try WitnessURL(text) }
  }
}
