import AuditWitness
import Foundation
import MerkleTree
import Synchronization
import Testing

/// The rules of a witness, one by one, on real files.
@Suite struct WitnessTests {
  private let directory = TemporaryDirectory()
  private let key: SignerKey
  private let log: SignedLog

  init() throws {
    key = try SignerKey.generate(name: "witness.example/w", kind: .cosignature)
    log = try SignedLog()
  }

  private func witness(_ logs: [VerifierKey]? = nil, in path: String? = nil, at time: UInt64 = 1_700_000_000) throws -> Witness {
    try Witness(directory: path ?? directory.path, key: key, logs: logs ?? [log.key.verifier], now: { time })
  }

  private func served(_ witness: Witness, _ origin: String = "log.example/one") -> String? {
    witness.checkpoint(originHash: TreeHash.sha256(Array(origin.utf8)).hex[...])
  }

  /// The verified cosignature of a 200.
  private func cosignature(_ answer: Witness.Answer, of checkpoint: SignedCheckpoint) throws -> VerifiedSignature {
    #expect(answer.status == 200)
    var note = try SignedNote(text: checkpoint.note.text)
    for line in try NoteSignature.lines(answer.body.utf8) { note.add(line) }
    return try note.verify(with: [key.verifier])[0]
  }

  @Test("checkpoints that continue each other are cosigned, each with the time, and the last is served with both signatures")
  func cosigns() throws {
    let witness = try witness()
    #expect(served(witness) == nil)
    for (old, new) in [(0, 0), (0, 1), (1, 2), (2, 256), (256, 257), (257, 257), (257, 600)] {
      let checkpoint = try log.checkpoint(new)
      let answer = witness.addCheckpoint(try log.request(from: old, to: new))
      #expect(try cosignature(answer, of: checkpoint).time == 1_700_000_000)
      let shown = try SignedCheckpoint(Array(try #require(served(witness)).utf8))
      #expect(shown.checkpoint == checkpoint.checkpoint)
      #expect(try shown.verify(origin: "log.example/one", logKeys: [log.key.verifier], witnessKeys: [key.verifier]).count == 2)
    }
  }

  @Test("everything else is refused with the status of the specification, and changes nothing")
  func refusals() throws {
    let fork = try SignedLog(fork: 50, key: log.key)
    let stranger = try SignedLog("log.example/two")
    let impostor = try SignedLog()
    let witness = try witness()
    #expect(witness.addCheckpoint(try log.request(from: 0, to: 100)).status == 200)
    let before = served(witness)
    let good = String(decoding: try log.request(from: 100, to: 300), as: UTF8.self)
    let emptyRoot = try log.checkpoint(1).description.replacing("\n1\n", with: "\n0\n")
    let forged = try log.checkpoint(300).description.replacing(log.checkpoint(300).checkpoint.root.base64, with: TreeHash.leaf([1]).base64)
    let path = try log.path(from: 100, to: 300)

    func refused(_ status: Int, _ body: [UInt8], body text: String? = nil, line: Int = #line) {
      let answer = witness.addCheckpoint(body)
      #expect(answer.status == status, "\(answer), line \(line)")
      if let text { #expect(answer.body == text, "line \(line)") } else { #expect(answer.body.count > 10 && answer.body.hasSuffix("\n")) }
      #expect(answer.contentType == (status == 409 ? "text/x.tlog.size" : "text/plain; charset=utf-8"))
      #expect(served(witness) == before, "line \(line)")
    }
    // Not a request, or not one that can be.
    for body in [
      "", "\n", "old\n", "old 100\n", good.replacing("old 100", with: "old 0100"), good.replacing("\n\n", with: "\n"), good + "x",
    ] {
      refused(400, Array(body.utf8))
    }
    refused(400, log.request(old: 301, try log.checkpoint(300)))
    refused(400, log.request(old: 100, path: [TreeHash](repeating: .emptyTree, count: 64), try log.checkpoint(300)))
    // Not a log of this witness, or not signed by it.
    refused(404, try stranger.request(from: 0, to: 100))
    refused(403, try impostor.request(from: 100, to: 300))
    refused(403, Array("old 100\n\n\(forged)".utf8))
    // Not from where the witness is: also an older checkpoint, which the log did sign.
    for old in [0, 50, 99, 101, 300] { refused(409, try log.request(from: old, to: 300), body: "100\n") }
    refused(409, try log.request(from: 40, to: 60), body: "100\n")
    refused(409, try log.request(from: 0, to: 0), body: "100\n")
    // Signed by the log, and not a continuation.
    refused(422, log.request(old: 100, try log.checkpoint(300)))
    refused(422, log.request(old: 100, path: Array(path.dropLast()), try log.checkpoint(300)))
    refused(422, log.request(old: 100, path: path + [path[0]], try log.checkpoint(300)))
    refused(422, log.request(old: 100, path: path.reversed(), try log.checkpoint(300)))
    refused(422, log.request(old: 100, path: [path[0]], try log.checkpoint(100)))
    refused(422, try fork.request(from: 100, to: 300))
    refused(422, try fork.request(from: 100, to: 100))
    refused(422, Array("old 0\n\n\(emptyRoot)".utf8))
    // The first checkpoint of a log takes no proof.
    let fresh = try self.witness(in: directory.path + "/fresh")
    #expect(fresh.addCheckpoint(log.request(old: 0, path: [path[0]], try log.checkpoint(300))).status == 422)
    #expect(fresh.addCheckpoint(try log.request(from: 10, to: 300)).body == "0\n")
    #expect(fresh.addCheckpoint(try log.request(from: 0, to: 300)).status == 200)
    // And the good one is still good.
    #expect(try cosignature(witness.addCheckpoint(Array(good.utf8)), of: try log.checkpoint(300)).key == key.verifier)
  }

  @Test("two roots of one size are evidence against the log; a proof that does not hold is not, for anybody can submit one")
  func evidence() throws {
    let fork = try SignedLog(fork: 50, key: log.key)
    let witness = try witness()
    #expect(witness.addCheckpoint(try log.request(from: 0, to: 100)).status == 200)
    let equivocation = witness.addCheckpoint(try fork.request(from: 100, to: 100))
    #expect(try equivocation.isEvidence && equivocation.refused == fork.checkpoint(100).note)
    let another = witness.addCheckpoint(try fork.request(from: 100, to: 200))
    #expect(try !another.isEvidence && another.refused == fork.checkpoint(200).note)
    // Good checkpoints with proofs that somebody else made up.
    for request in [
      log.request(old: 100, path: [.leaf([1])], try log.checkpoint(200)),
      log.request(old: 100, path: [.leaf([1])], try log.checkpoint(100)),
    ] {
      let answer = witness.addCheckpoint(request)
      #expect(answer.status == 422 && !answer.isEvidence && answer.refused != nil)
    }
    for request in [try SignedLog().request(from: 100, to: 200), try log.request(from: 0, to: 200)] {
      let answer = witness.addCheckpoint(request)
      #expect(!answer.isEvidence && answer.refused == nil)
    }
  }

  @Test("a crash after the memory is on disk and before the answer: the log is told the size, and the same checkpoint is cosigned again")
  func lostAnswer() throws {
    do {
      let witness = try witness()
      #expect(witness.addCheckpoint(try log.request(from: 0, to: 100)).status == 200)
      _ = witness.addCheckpoint(try log.request(from: 100, to: 300))
    }
    let fork = try SignedLog(fork: 200, key: log.key)
    let again = try witness(at: 1_800_000_000)
    #expect(again.addCheckpoint(try log.request(from: 100, to: 300)).body == "300\n")
    #expect(again.addCheckpoint(try fork.request(from: 300, to: 300)).status == 422)
    #expect(try cosignature(again.addCheckpoint(try log.request(from: 300, to: 300)), of: try log.checkpoint(300)).time == 1_800_000_000)
    #expect(try cosignature(again.addCheckpoint(try log.request(from: 300, to: 500)), of: try log.checkpoint(500)).key == key.verifier)
  }

  @Test("a crash before the memory is on disk leaves the old one, also beside an unfinished file")
  func unfinishedFile() throws {
    do {
      let witness = try witness()
      #expect(witness.addCheckpoint(try log.request(from: 0, to: 100)).status == 200)
    }
    let name = TreeHash.sha256(Array("log.example/one".utf8)).hex + ".checkpoint"
    let bytes = try Data(contentsOf: URL(fileURLWithPath: "\(directory.path)/\(name)"))
    try bytes.prefix(37).write(to: URL(fileURLWithPath: "\(directory.path)/\(name).new"))
    let again = try witness()
    #expect(again.addCheckpoint(try log.request(from: 0, to: 300)).body == "100\n")
    #expect(again.addCheckpoint(try log.request(from: 100, to: 300)).status == 200)
  }

  @Test("what cannot be remembered is not cosigned; when there is a disk again, it is")
  func noDisk() throws {
    let witness = try witness()
    #expect(witness.addCheckpoint(try log.request(from: 0, to: 100)).status == 200)
    try FileManager.default.moveItem(atPath: directory.path, toPath: directory.path + "-away")
    let answer = witness.addCheckpoint(try log.request(from: 100, to: 300))
    #expect(answer.status == 500 && answer.body.contains("No such file"))
    #expect(witness.cosigned.map(\.size) == [100])
    try FileManager.default.moveItem(atPath: directory.path + "-away", toPath: directory.path)
    #expect(witness.addCheckpoint(try log.request(from: 100, to: 300)).status == 200)
  }

  @Test("logs are apart: each has its own memory, also after a restart, and none vouches for another")
  func twoLogs() throws {
    let other = try SignedLog("log.example/two")
    let keys = [log.key.verifier, other.key.verifier]
    do {
      let witness = try witness(keys)
      #expect(witness.addCheckpoint(try log.request(from: 0, to: 100)).status == 200)
      #expect(witness.addCheckpoint(try other.request(from: 0, to: 7)).status == 200)
      #expect(witness.addCheckpoint(try other.request(from: 100, to: 200)).body == "7\n")
      // The one log's statement under the other's name.
      let stolen = try log.checkpoint(300).description.replacing("log.example/one\n", with: "log.example/two\n")
      #expect(witness.addCheckpoint(Array("old 7\n\n\(stolen)".utf8)).status == 403)
    }
    let again = try witness(keys)
    #expect(again.cosigned.sorted { $0.origin < $1.origin }.map(\.size) == [100, 7])
    #expect(again.addCheckpoint(try log.request(from: 100, to: 101)).status == 200)
    #expect(again.addCheckpoint(try other.request(from: 7, to: 8)).status == 200)
    #expect(served(again, "log.example/two")!.hasPrefix("log.example/two\n8\n"))
    #expect(served(again, "log.example/three") == nil)
  }

  @Test(
    "while a log changes its key either is good; strangers' signatures are passed over and not kept; a broken one of a known key is refused"
  )
  func severalKeys() throws {
    let new = try SignerKey.generate(name: "log.example/one", kind: .ed25519)
    let unknown = try SignerKey.generate(name: "log.example/one", kind: .ed25519)
    let witness = try witness([log.key.verifier, new.verifier])
    var next = 1
    for keys in [[log.key], [log.key, new], [new], [unknown, new]] {
      let request = log.request(old: next - 1, path: try log.path(from: next - 1, to: next), try log.checkpoint(next, signedBy: keys))
      #expect(witness.addCheckpoint(request).status == 200)
      let note = try SignedNote(Array(served(witness)!.utf8))
      #expect(note.signatures.count == keys.count { $0.verifier != unknown.verifier } + 1)
      next += 1
    }
    let bothText = try log.checkpoint(next, signedBy: [log.key, new]).description
    let otherText = try log.checkpoint(next + 1, signedBy: [new]).description
    // The old key's line is good, the new one's is over something else.
    let broken =
      bothText.split(separator: "\n", omittingEmptySubsequences: false).dropLast(2).joined(separator: "\n") + "\n"
      + otherText.split(separator: "\n").last! + "\n"
    let path = try log.path(from: next - 1, to: next).map { $0.base64 + "\n" }.joined()
    #expect(witness.addCheckpoint(Array("old \(next - 1)\n\(path)\n\(broken)".utf8)).status == 403)
    #expect(witness.addCheckpoint(log.request(old: next - 1, try log.checkpoint(next, signedBy: [unknown]))).status == 403)
  }

  @Test("of many that submit from the same size at once, one is cosigned and the others are told")
  func races() throws {
    let witness = try witness()
    let log = log
    for round in 0..<5 {
      let old = round * 100
      let requests = try (1...8).map { try log.request(from: old, to: old + (9 - $0) * 10) }
      let answers = Mutex<[Witness.Answer]>([])
      DispatchQueue.concurrentPerform(iterations: requests.count) { index in
        let answer = witness.addCheckpoint(requests[index])
        answers.withLock { $0.append(answer) }
      }
      let all = answers.withLock { $0 }
      let winner = all.filter { $0.status == 200 }
      #expect(winner.count == 1 && all.count { $0.status == 409 } == 7)
      let size = try #require(winner.first?.size)
      for answer in all where answer.status == 409 { #expect(answer.body == "\(size)\n") }
      #expect(witness.addCheckpoint(try log.request(from: Int(size), to: old + 100)).status == 200)
    }
  }

  @Test("whatever is submitted, in any order and with restarts between, all that is cosigned lies on one line")
  func randomWalk() throws {
    var random = SeededGenerator(printing: "a witness' random walk")
    let branches = [log, try SignedLog(fork: 100, key: log.key), try SignedLog(fork: 300, key: log.key)]
    var witness: Witness? = try witness()
    var size = 0
    // The branches that what was cosigned lies on.
    var alive = Set(branches.indices)
    for step in 0..<400 {
      if step % 50 == 49 {
        witness = nil
        witness = try self.witness()
      }
      let branch = Int.random(in: branches.indices, using: &random)
      let old = Bool.random(using: &random) ? size : Int.random(in: 0...600, using: &random)
      // Not always forward.
      let new = min(600, max(0, old + Int.random(in: -3...12, using: &random)))
      let body =
        new < old
        ? branches[branch].request(old: old, try branches[branch].checkpoint(new)) : try branches[branch].request(from: old, to: new)
      let answer = witness!.addCheckpoint(body)
      let expected = new < old ? 400 : old != size ? 409 : alive.contains(branch) ? 200 : 422
      #expect(answer.status == expected, "step \(step): branch \(branch), \(old) to \(new), cosigned \(size)")
      guard answer.status == 200 else { continue }
      size = new
      let root = try branches[branch].checkpoint(new).checkpoint.root
      alive = Set(try branches.indices.filter { try branches[$0].checkpoint(new).checkpoint.root == root })
    }
    print("cosigned \(size) records")
  }

  @Test("a directory is used by one witness at a time, and keys of the wrong kind are refused")
  func misuse() throws {
    func code(_ body: () throws -> Void) -> WitnessError.Code? {
      do { try body() } catch { return (error as? WitnessError)?.code }
      return nil
    }
    let witness = try witness()
    #expect(code { _ = try self.witness() } == .locked)
    #expect(code { _ = try self.witness([], in: directory.path + "/a") } == .misconfigured)
    #expect(code { _ = try self.witness([key.verifier], in: directory.path + "/b") } == .misconfigured)
    #expect(
      code { _ = try Witness(directory: directory.path + "/c", key: log.key, logs: [log.key.verifier], now: { 1 }) } == .misconfigured)
    #expect(code { _ = try self.witness(in: directory.path + "/missing/d") } == .unusable)
    #expect(witness.cosigned.map(\.size) == [0])
  }

  @Test("a flipped bit in what it remembers is refused at the start, or is not in the statement")
  func damage() throws {
    do {
      let witness = try witness()
      #expect(witness.addCheckpoint(try log.request(from: 0, to: 100)).status == 200)
    }
    let path = "\(directory.path)/\(TreeHash.sha256(Array("log.example/one".utf8)).hex).checkpoint"
    let good = try Data(contentsOf: URL(fileURLWithPath: path))
    let root = try log.checkpoint(100).checkpoint.root
    var refusals = 0
    for bit in 0..<good.count * 8 {
      var bad = good
      bad[bit / 8] ^= 1 << UInt8(bit % 8)
      try bad.write(to: URL(fileURLWithPath: path))
      do throws(WitnessError) {
        let witness = try Witness(directory: directory.path, key: key, logs: [log.key.verifier], now: { 1 })
        // The name in one of the signature lines was hit: the other signature still holds over the same text.
        let shown = try? SignedCheckpoint(Array((served(witness) ?? "").utf8))
        #expect(shown?.checkpoint.size == 100 && shown?.checkpoint.root == root, "bit \(bit)")
      } catch {
        #expect(error.code == .damaged)
        refusals += 1
      }
    }
    #expect(refusals > good.count * 4)
    for length in 0..<good.count {
      try good.prefix(length).write(to: URL(fileURLWithPath: path))
      if let witness = try? witness() { #expect(witness.cosigned.map(\.size) == [100], "\(length) bytes") }
    }
  }
}
