import AuditLog
import AuditSchema
import MerkleTree
import SegmentStore
import TestSupport
import Testing

/// Erased bodies: what is left of them, who ordered it, and what a crash leaves.
@Suite struct ErasureTests {
  private let disk = MemoryFileSystem()
  private let key: SignerKey

  init() throws { key = try SignerKey.generate(name: SignedLog.origin, kind: .ed25519) }

  private func open(_ disk: MemoryFileSystem) async throws -> AuditLog {
    try await SignedLog.open(disk, signers: [key], segmentBytes: 32 << 10, now: { UTCTime.now() })
  }

  /// A log with records 0 to 4.
  private func begun() async throws -> AuditLog {
    let log = try await open(disk)
    for number in 0..<5 { try await log.append(json: Array(#"{"k\#(number)": "person \#(number)"}"#.utf8)) }
    return log
  }

  private func order(_ sequence: UInt64, of log: AuditLog, signedBy signer: SignerKey) throws -> [UInt8] {
    try SignedLog.order(sequence, of: log, signedBy: signer)
  }

  /// The parts of a record's body that are not of fixed content: the salt and the detail.
  private func parts(ofBody body: [UInt8]) -> [[UInt8]] {
    body.withUnsafeBytes { bytes in
      var fields = WireReader(bytes)
      var parts: [[UInt8]] = []
      while let field = fields.next() { if field.bytes.count >= 8 { parts.append(Array(field.bytes)) } }
      return parts
    }
  }

  private func body(of sequence: UInt64) -> [UInt8]? {
    ForgedLog(disk.contents, mayBeTorn: true)?.records.first { $0.sequence == sequence }?.body
  }

  private func findings(_ files: [String: [UInt8]]) throws -> [String] {
    try LogVerification(
      directory: ForgedLog.root, checkpoints: nil, keys: [key.verifier], brought: [], fileSystem: MemoryFileSystem(files),
      progress: { _ in }
    ).audit.findings.map(\.sentence)
  }

  @Test("of an erased body no part is left in any file, not its salt either: the hash in the header could be guessed with it")
  func nothingLeft() async throws {
    let log = try await begun()
    let parts = parts(ofBody: try #require(body(of: 2)))
    #expect(parts.contains { $0.count == 16 } && parts.count > 1)
    _ = try await log.eraser?.erase(order(2, of: log, signedBy: key))
    _ = try await log.checkpoint()
    try log.close()
    for (path, bytes) in disk.contents {
      for part in parts {
        // Half of it is too much.
        for half in [part.prefix(part.count / 2), part.suffix(part.count / 2)] {
          #expect(bytes.firstRange(of: half) == nil, "\(path)")
        }
      }
    }
    #expect(try findings(disk.contents).isEmpty)
  }

  @Test("an order that was stored when the process died is carried out at the next start, and said to be")
  func finished() async throws {
    let log = try await begun()
    let erasure = Erasure(sequence: 3, logSize: log.nextSequence, note: try order(3, of: log, signedBy: key))
    try log.store.evidence!.order(erasure)
    let crashed = MemoryFileSystem(disk.contents)
    try log.close()
    let again = try await open(crashed)
    #expect(again.store.evidence!.pendingErasures.isEmpty)
    let records = try again.readAll()
    #expect(records.count == 6 && records[5].kind == "record_erased")
    _ = try await again.checkpoint()
    try again.close()
    #expect(ForgedLog(crashed.contents, mayBeTorn: true)?.records[3].body == nil)
    #expect(try findings(crashed.contents).isEmpty)
  }

  /// A log with an erased record 2, an older copy of it that went on with other records, and the order, as every reader has it.
  private func replayable() async throws -> (copy: MemoryFileSystem, note: [UInt8]) {
    let first = try await open(disk)
    for number in 0..<2 { try await first.append(json: Array(#"{"k\#(number)": "the same"}"#.utf8)) }
    let copy = MemoryFileSystem(disk.contents)
    try await first.append(json: Array(#"{"k": "to be erased"}"#.utf8))
    let note = try order(2, of: first, signedBy: key)
    _ = try await first.eraser?.erase(note)
    _ = try await first.checkpoint()
    try first.close()
    #expect(try findings(disk.contents).isEmpty)
    return (copy, note)
  }

  @Test("an order that was given for a log that went on differently erases nothing: the server refuses it, and so does a start")
  func replayed() async throws {
    let (copy, note) = try await replayable()
    var log = try await open(copy)
    for number in 0..<4 { try await log.append(json: Array(#"{"other\#(number)": "to be kept"}"#.utf8)) }
    await #expect { _ = try await log.eraser?.erase(note) } throws: {
      ($0 as? RequestError)?.code == .notPermitted && "\($0)".contains("went on differently")
    }
    #expect(log.store.evidence!.pendingErasures.isEmpty)
    try log.store.evidence!.order(Erasure(sequence: 2, logSize: log.nextSequence, note: note))
    try log.close()
    await #expect { _ = try await open(copy) } throws: { ($0 as? StoreError)?.code == .tampered && "\($0)".contains("went on differently") }
    #expect(ForgedLog(copy.contents, mayBeTorn: true)?.records[2].body != nil)
    for path in copy.contents.keys where path.contains("/erasures/") { try copy.remove(path) }
    log = try await open(copy)
    #expect(log.nextSequence == 6)
    try log.close()
  }

  @Test("an order that was used again where nobody checked it is found by verify, with keys and without")
  func replayedByForce() async throws {
    let (copy, note) = try await replayable()
    let log = try await open(copy)
    for number in 0..<4 { try await log.append(json: Array(#"{"other\#(number)": "to be kept"}"#.utf8)) }
    let erasure = Erasure(sequence: 2, logSize: log.nextSequence, note: note)
    let text = String(decoding: note, as: UTF8.self).replacing("\n", with: "\\n")
    _ = try await log.own.append([
      .custom(
        json: Array(
          #"{"kind":"record_erased","erased_sequence":2,"by":"auditor","reason":"asked for","statement":"\#(text)"}"#.utf8))
    ])
    try log.store.evidence!.order(erasure)
    try log.store.evidence!.erase(erasure)
    _ = try await log.checkpoint()
    try log.close()
    for keys in [[key.verifier], []] {
      let found = try LogVerification(
        directory: ForgedLog.root, checkpoints: nil, keys: keys, brought: [], fileSystem: MemoryFileSystem(copy.contents),
        progress: { _ in }
      ).audit.findings.map(\.sentence)
      #expect(found.contains { $0.contains("about another record of that number") }, "\(found)")
    }
  }

  @Test("an erasure that only a stranger has signed is found by verify, though the log says of itself that it was ordered")
  func stranger() async throws {
    let log = try await begun()
    let stranger = try SignerKey.generate(name: SignedLog.origin, kind: .ed25519)
    let note = try order(1, of: log, signedBy: stranger)
    await #expect(throws: RequestError.self) { _ = try await log.eraser?.erase(note) }
    let text = String(decoding: note, as: UTF8.self).replacing("\n", with: "\\n")
    _ = try await log.own.append([
      .custom(
        json: Array(
          #"{"kind":"record_erased","erased_sequence":1,"by":"auditor","reason":"asked for","statement":"\#(text)"}"#.utf8))
    ])
    let erasure = Erasure(sequence: 1, logSize: log.nextSequence, note: note)
    try log.store.evidence!.order(erasure)
    try log.store.evidence!.erase(erasure)
    _ = try await log.checkpoint()
    try log.close()
    let found = try findings(disk.contents)
    #expect(found.contains { $0.contains("none of the log's keys has signed the order") }, "\(found)")
    #expect(found.contains { $0.contains("no record says by whom") }, "\(found)")
  }
}
