import AuditLog
import AuditSchema
import Glibc
import MerkleTree
import SegmentStore
import Synchronization
import TestSupport
import Testing

/// What a start makes of a log and its checkpoints, what it leaves to verify, and what is shown of a checkpoint that cannot be stored.
@Suite struct StartTests {
  private let key: SignerKey

  init() throws { key = try SignerKey.generate(name: SignedLog.origin, kind: .ed25519) }

  private func open(_ disk: some FileSystem) async throws -> AuditLog {
    try await SignedLog.open(disk, signers: [key], segmentBytes: 32 << 10, now: { UTCTime.now() })
  }

  /// The directory after `records` more, all under a checkpoint.
  private func grown(_ files: [String: [UInt8]], by records: Int, _ word: String) async throws -> [String: [UInt8]] {
    let disk = MemoryFileSystem(files)
    let log = try await open(disk)
    for number in 0..<records { try await log.append(json: Array(#"{"\#(word)": \#(number)}"#.utf8)) }
    _ = try await log.checkpoint()
    try log.close()
    return disk.contents
  }

  private func exchanged(_ files: [String: [UInt8]], checkpointsOf other: [String: [UInt8]]) -> [String: [UInt8]] {
    func isCheckpoint(_ path: String) -> Bool { path.hasPrefix("\(ForgedLog.root)/checkpoints/") }
    return files.filter { !isCheckpoint($0.key) }.merging(other.filter { isCheckpoint($0.key) }) { $1 }
  }

  private func refusal(_ files: [String: [UInt8]]) async throws -> StoreError? {
    do {
      try await open(MemoryFileSystem(files)).close()
      return nil
    } catch let error as StoreError { return error }
  }

  @Test("a log that is not the one that was signed does not start: shorter, as long with other records, or longer with others")
  func comparison() async throws {
    let old = try await grown([:], by: 10, "both")
    let signed = try await grown(old, by: 5, "signed")
    let shorter = try #require(try await refusal(exchanged(old, checkpointsOf: signed)))
    #expect(shorter.code == .tampered && shorter.message.contains("records were removed"))
    for more in [5, 6, 300] {
      let other = try await grown(old, by: more, "other")
      let error = try #require(try await refusal(exchanged(other, checkpointsOf: signed)), "\(more) other records")
      #expect(error.code == .tampered && error.message.contains("have the root"))
    }
    // One that has only grown does, also with none of its later checkpoints.
    #expect(try await refusal(exchanged(try await grown(signed, by: 3, "more"), checkpointsOf: signed)) == nil)
  }

  @Test("a body that was edited, with every checksum made anew, is no start's business: its reader's, and verify's, who says which")
  func editedBody() async throws {
    let files = try await grown([:], by: 10, "k")
    var forged = try #require(ForgedLog(files))
    let body = try #require(forged.segments[0].commits[4].records[0].body)
    forged.segments[0].commits[4].records[0].body = body.map { $0 == UInt8(ascii: "k") ? UInt8(ascii: "j") : $0 }
    var edited = files
    forged.write(into: &edited)
    #expect(edited != files)
    let found = try LogVerification(
      directory: ForgedLog.root, checkpoints: nil, keys: [key.verifier], brought: [], fileSystem: MemoryFileSystem(edited),
      progress: { _ in }
    ).audit.findings
    #expect(found.count == 1 && found[0].sentence.contains("the body of record 4"), "\(found)")
    #expect(try await refusal(edited) == nil)
  }

  /// A disk on which no file of checkpoints can be begun.
  private final class Refusing: FileSystem {
    let disk = MemoryFileSystem()

    func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any File { try disk.open(path, mode) }
    func createDirectory(_ path: String) throws(FileSystemError) -> Bool { try disk.createDirectory(path) }
    func list(_ path: String) throws(FileSystemError) -> [String] { try disk.list(path) }
    func size(_ path: String) throws(FileSystemError) -> UInt64 { try disk.size(path) }
    func attributes(_ path: String, followsLinks: Bool) throws(FileSystemError) -> FileAttributes {
      try disk.attributes(path, followsLinks: followsLinks)
    }
    func remove(_ path: String) throws(FileSystemError) { try disk.remove(path) }
    func syncDirectory(_ path: String) throws(FileSystemError) { try disk.syncDirectory(path) }

    func rename(_ path: String, to newPath: String) throws(FileSystemError) {
      if newPath.hasSuffix(".ckpt") { throw FileSystemError("rename", path, EIO) }
      try disk.rename(path, to: newPath)
    }
  }

  @Test("a checkpoint that cannot be stored is shown to nobody")
  func unstored() async throws {
    let disk = Refusing()
    let store = try SegmentStore(
      directory: ForgedLog.root, configuration: SegmentStoreConfiguration(), fileSystem: disk, logger: SignedLog.quiet)
    var configuration = AuditLogConfiguration()
    configuration.signingKeys = [key]
    let log = try AuditLog(store: store, configuration: configuration, logger: SignedLog.quiet)
    await #expect(throws: (any Error).self) { try await log.finishOpening() }
    try await log.append(json: Array("{}".utf8))
    await #expect(throws: (any Error).self) { _ = try await log.checkpoint() }
    #expect(log.newestCheckpoint == nil && log.witnessedCheckpoint == nil)
    try log.close()
  }
}
