import AuditLog
import AuditSchema
import Logging
import MerkleTree
import SegmentStore
import TestSupport
import Testing

/// The files of checkpoints, when they are many.
@Suite struct CheckpointFilesTests {
  private let disk = MemoryFileSystem()
  private let key: SignerKey
  private let witness: SignerKey

  init() throws {
    key = try SignerKey.generate(name: "log.example/files", kind: .ed25519)
    witness = try SignerKey.generate(name: "w", kind: .cosignature)
  }

  private func open() throws -> SegmentStore {
    try SegmentStore(
      directory: "/log", configuration: SegmentStoreConfiguration(), fileSystem: disk,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  /// Large, so that few of them fill a file.
  private func checkpoint(_ size: UInt64, isCosigned: Bool = false) throws -> StoredCheckpoint {
    let line = String(repeating: "x", count: 50_000)
    var signed = try SignedCheckpoint(
      Checkpoint(origin: key.verifier.name, size: size, root: size == 0 ? .emptyTree : .leaf([UInt8(size)]), extensions: [line]),
      signedBy: [key])
    if isCosigned { signed.add(try witness.cosign(signed.checkpoint, time: size + 1)) }
    return StoredCheckpoint(size: size, storedAt: size, note: signed.bytes)
  }

  private func names(_ suffix: String) -> [String] {
    disk.contents.keys.filter { $0.hasSuffix(suffix) }.map { String($0.split(separator: "/").last!) }.sorted()
  }

  @Test("a checkpoint longer than what is read again is refused, and harms none of the others")
  func length() throws {
    var store = try open()
    let good = try checkpoint(0)
    try store.store(good)
    let long = StoredCheckpoint(size: 0, storedAt: 2, note: [UInt8](repeating: UInt8(ascii: "x"), count: (64 << 10) + 1))
    #expect(throws: StoreError.self) { try store.store(long) }
    #expect(throws: StoreError.self) { try store.store(cosigned: long) }
    try store.store(good)
    try store.store(cosigned: good)
    try store.close()
    store = try open()
    var found: [StoredCheckpoint] = []
    try store.forEachCheckpoint { found.append($0) }
    #expect(found == [good, good, good])
  }

  @Test(
    "what witnesses send back late stands in the file of its time, and all are gone through by size; what a whole file has passed is left out"
  )
  func order() throws {
    let store = try open()
    let all = try (UInt64(0)..<60).map { try (signed: checkpoint($0), cosigned: checkpoint($0, isCosigned: true)) }
    for one in all { try store.store(one.signed) }
    // Each pair the wrong way round, but for the first; the first file ends behind number 21 or so.
    try store.store(cosigned: all[0].cosigned)
    for size in stride(from: 1, to: 59, by: 2) {
      try store.store(cosigned: all[size + 1].cosigned)
      try store.store(cosigned: all[size].cosigned)
    }
    #expect(names(".ckpt").count == 3)
    let files = names(".cosigned")
    #expect(files.count == 3)
    var found: [StoredCheckpoint] = []
    try store.forEachCheckpoint { found.append($0) }
    // The one whose pair began a file came too late for it.
    let firsts = files.dropFirst().map { Int($0.prefix(20))! }
    let left = all.indices.dropLast().filter { index in !firsts.contains { $0 == index + 1 && $0.isMultiple(of: 2) } }
    #expect(found == all.indices.flatMap { left.contains($0) ? [all[$0].signed, all[$0].cosigned] : [all[$0].signed] })
    #expect(left.count >= 57)
    // Of the newest files, the one that covers most and is wanted.
    #expect(try store.newestCosigned { $0.size < 50 } == all[49].cosigned)
    #expect(try store.newestCosigned { $0.size < 10 } == nil)
    #expect(store.newestCheckpoint == all[59].signed)
  }
}
