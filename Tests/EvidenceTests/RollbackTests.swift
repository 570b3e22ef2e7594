import AuditLog
import AuditSchema
import MerkleTree
import TestSupport
import Testing

/// An older copy that was put back and went on: nothing in it is wrong but that others have seen more.
@Suite struct RollbackTests {
  @Test("a client notices an older copy that has grown past what the client has seen, though verify and a start find nothing")
  func grownPast() async throws {
    var random = SeededRandom(seed: TamperingTests.seed)
    let log = try await SignedLog.make(records: 120, segmentBytes: 32 << 10, isRunning: false, random: &random)
    let disk = MemoryFileSystem(try #require(log.copies.first))
    let copy = try await SignedLog.open(disk, signers: log.keys, segmentBytes: log.segmentBytes, now: { UTCTime.now() })
    #expect(copy.nextSequence < log.newest.checkpoint.size)
    while copy.nextSequence <= log.newest.checkpoint.size + 3 { try await copy.append(json: Array(#"{"kind": "another past"}"#.utf8)) }
    _ = try await copy.checkpoint()
    try copy.close()
    #expect(try await Auditors().look(at: disk.contents, of: log) == .client)
  }
}
