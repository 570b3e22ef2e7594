import AuditLog
import AuditSchema
import Foundation
import Logging
import MerkleTree
import SegmentStore
import Testing

/// Checkpoints that come back with cosignatures, in the store and beside newer ones.
@Suite struct CosignedCheckpointTests {
  private let directory = TemporaryDirectory()
  private let key: SignerKey
  private let witness: SignerKey

  init() throws {
    key = try SignerKey.generate(name: "log.example/one", kind: .ed25519)
    witness = try SignerKey.generate(name: "w", kind: .cosignature)
  }

  private func open(quorum: String? = nil) throws -> AuditLog {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    var store = SegmentStoreConfiguration()
    store.origin = key.verifier.name
    var configuration = AuditLogConfiguration()
    configuration.signingKeys = [key]
    configuration.checkpointInterval = .seconds(3600)
    configuration.witnesses = try quorum.map { try TrustPolicy("witness w \(witness.verifier)\nquorum \($0)\n".utf8) }
    return try AuditLog(
      store: SegmentStore.open(directory: directory.path, configuration: store, logger: logger), configuration: configuration,
      logger: logger)
  }

  private func covering(_ size: UInt64, _ log: AuditLog) async throws -> StoredCheckpoint {
    try await withCheckedThrowingContinuation { continuation in
      log.checkpoints!.covering(size) { continuation.resume(with: $0.mapError { $0 as any Error }) }
    }
  }

  /// Appends a record and has it signed.
  private func grow(_ log: AuditLog) async throws -> StoredCheckpoint {
    try await log.append(json: Array("{}".utf8))
    return try await covering(log.nextSequence, log)
  }

  private func cosigned(_ checkpoint: StoredCheckpoint, by witness: SignerKey? = nil) throws -> StoredCheckpoint {
    var signed = try SignedCheckpoint(checkpoint.note)
    signed.add(try (witness ?? self.witness).cosign(signed.checkpoint, time: 1_700_000_000))
    return StoredCheckpoint(size: checkpoint.size, storedAt: checkpoint.storedAt + 1, note: signed.bytes)
  }

  private func stored(_ log: AuditLog) throws -> [[UInt8]] {
    var notes: [[UInt8]] = []
    try log.store.evidence!.forEachCheckpoint { notes.append($0.note) }
    return notes
  }

  @Test("the newest one is shown with its cosignatures, one that comes late is kept and hides no newer one, and a restart shows the same")
  func publishing() async throws {
    var log = try open()
    let first = try await grow(log)
    try log.checkpoints!.publish(cosigned: cosigned(first))
    #expect(try log.newestCheckpoint == cosigned(first))
    #expect(log.witnessedCheckpoint == log.newestCheckpoint)
    // Asked again for what is covered, nothing is signed anew in its place.
    #expect(try await covering(1, log) == cosigned(first))

    let second = try await grow(log)
    let third = try await grow(log)
    try log.checkpoints!.publish(cosigned: cosigned(second))
    #expect(log.newestCheckpoint == third && log.witnessedCheckpoint == third)
    try log.close()

    log = try open()
    #expect(log.newestCheckpoint == third && log.witnessedCheckpoint == third)
    try log.checkpoints!.publish(cosigned: cosigned(third))
    try log.close()
    log = try open()
    #expect(try log.newestCheckpoint == cosigned(third))
    let all = [first, second, third]
    #expect(try stored(log).suffix(6) == all.flatMap { [$0.note, try cosigned($0).note] }[...])
    try log.close()
  }

  @Test("with a quorum, the newest that has it is what witnesses' users are shown, also after a restart, while others see the newest")
  func quorum() async throws {
    var log = try open(quorum: "w")
    let first = try await grow(log)
    let second = try await grow(log)
    let third = try await grow(log)
    try log.checkpoints!.publish(cosigned: cosigned(second))
    #expect(try log.witnessedCheckpoint == cosigned(second))
    #expect(log.newestCheckpoint == third)
    // A late answer to an older one, and a signature that is not the witness', change nothing.
    try log.checkpoints!.publish(cosigned: cosigned(first))
    let stranger = try SignerKey.generate(name: "w", kind: .cosignature)
    try log.checkpoints!.publish(cosigned: cosigned(third, by: stranger))
    #expect(try log.witnessedCheckpoint == cosigned(second))
    #expect(try log.newestCheckpoint == cosigned(third, by: stranger))
    try log.close()

    log = try open(quorum: "w")
    #expect(try log.witnessedCheckpoint == cosigned(second))
    #expect(log.newestCheckpoint?.size == 3)
    // The witness came meanwhile to the newest.
    try log.checkpoints!.publish(cosigned: cosigned(third))
    #expect(try log.witnessedCheckpoint == cosigned(third))
    try log.close()
    // Nobody asks for a quorum any more.
    log = try open(quorum: "none")
    let fourth = try await grow(log)
    #expect(log.witnessedCheckpoint == fourth)
    try log.close()
  }

  @Test("a policy that is new shows nothing newer until its first quorum, so that what is shown never goes back")
  func newPolicy() async throws {
    var log = try open()
    let first = try await grow(log)
    let second = try await grow(log)
    try log.close()
    log = try open(quorum: "w")
    #expect(log.witnessedCheckpoint == second)
    let third = try await grow(log)
    #expect(log.newestCheckpoint == third && log.witnessedCheckpoint == second)
    try log.checkpoints!.publish(cosigned: cosigned(first))
    #expect(log.witnessedCheckpoint == second)
    try log.checkpoints!.publish(cosigned: cosigned(second))
    #expect(try log.witnessedCheckpoint == cosigned(second))
    try log.close()
    // A log that begins with a policy shows its first checkpoint.
    let other = TemporaryDirectory()
    let fresh = try AuditLog(
      store: SegmentStore.open(directory: other.path, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }),
      configuration: log.configuration)
    try await fresh.finishOpening()
    #expect(fresh.witnessedCheckpoint?.size == 0)
    try fresh.close()
  }

  @Test("every cosigned checkpoint is where verify looks, and one that is not of the log is found there")
  func verification() async throws {
    let log = try open(quorum: "w")
    try await log.finishOpening()
    let first = try await grow(log)
    let second = try await grow(log)
    let third = try await grow(log)
    for checkpoint in [first, third, second] { try log.checkpoints!.publish(cosigned: cosigned(checkpoint)) }
    func audit() throws -> LogAudit {
      try LogVerification(
        directory: directory.path, checkpoints: nil, keys: [key.verifier, witness.verifier], brought: [], progress: { _ in }
      ).audit
    }
    let good = try audit()
    #expect(good.findingCount == 0 && good.checkpoints == 7 && good.signatures == 10, "\(good.findings)")
    // The log signs another past, and has it cosigned.
    let forged = try SignedCheckpoint(Checkpoint(origin: key.verifier.name, size: 2, root: .leaf([1])), signedBy: [key])
    try log.store.evidence!.store(cosigned: cosigned(StoredCheckpoint(size: 2, storedAt: 1, note: forged.bytes)))
    #expect(try audit().findings.map(\.sentence).contains { $0.contains("first 2 records have the root") })
    try log.close()
  }

  @Test("a start compares the log with what came back from witnesses too: it may be all that is left of the checkpoints")
  func removedCheckpoints() async throws {
    let log = try open()
    let first = try await grow(log)
    try log.checkpoints!.publish(cosigned: cosigned(first))
    try log.close()
    let files = FileManager.default
    let segment = directory.path + "/segments/00000000000000000000.seg"
    let old = try Data(contentsOf: URL(fileURLWithPath: segment))
    let again = try open()
    let second = try await grow(again)
    try again.checkpoints!.publish(cosigned: cosigned(second))
    try again.close()
    // An older copy is put back, and the checkpoints that do not fit are removed.
    try old.write(to: URL(fileURLWithPath: segment))
    for name in try files.contentsOfDirectory(atPath: directory.path + "/checkpoints") where name.hasSuffix(".ckpt") {
      try files.removeItem(atPath: directory.path + "/checkpoints/" + name)
    }
    #expect(throws: StoreError.self) { try open() }
  }
}
