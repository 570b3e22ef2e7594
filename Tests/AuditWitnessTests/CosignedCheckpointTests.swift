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

  private func open() throws -> AuditLog {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    var store = SegmentStoreConfiguration()
    store.origin = key.verifier.name
    var configuration = AuditLogConfiguration()
    configuration.signingKeys = [key]
    configuration.checkpointInterval = .seconds(3600)
    return try AuditLog(
      store: SegmentStore.open(directory: directory.path, configuration: store, logger: logger), configuration: configuration,
      logger: logger)
  }

  private func covering(_ size: UInt64, _ log: AuditLog) async throws -> StoredCheckpoint {
    try await withCheckedThrowingContinuation { continuation in
      log.checkpoints!.covering(size) { continuation.resume(with: $0.mapError { $0 as any Error }) }
    }
  }

  private func cosigned(_ checkpoint: StoredCheckpoint) throws -> StoredCheckpoint {
    var signed = try SignedCheckpoint(checkpoint.note)
    signed.add(try witness.cosign(signed.checkpoint, time: 1_700_000_000))
    return StoredCheckpoint(size: checkpoint.size, storedAt: checkpoint.storedAt + 1, note: signed.bytes)
  }

  @Test("the newest one is shown with its cosignatures, one that comes too late is passed over, and a restart shows the same")
  func publishing() async throws {
    var log = try open()
    try await log.append(json: Array("{}".utf8))
    let first = try await covering(1, log)
    #expect(try log.checkpoints!.publish(cosigned(first)))
    #expect(try log.newestCheckpoint == cosigned(first))
    // Asked again for what is covered, nothing is signed anew in its place.
    #expect(try await covering(1, log) == cosigned(first))

    try await log.append(json: Array("{}".utf8))
    let second = try await covering(2, log)
    #expect(try log.checkpoints!.publish(cosigned(first)) == false)
    #expect(log.newestCheckpoint == second)
    try log.close()

    log = try open()
    #expect(log.newestCheckpoint == second)
    try log.checkpoints!.publish(cosigned(second))
    try log.close()
    log = try open()
    #expect(try log.newestCheckpoint == cosigned(second))
    var notes: [[UInt8]] = []
    try log.store.evidence!.forEachCheckpoint { notes.append($0.note) }
    #expect(try notes.suffix(4) == [first.note, cosigned(first).note, second.note, cosigned(second).note])
    try log.close()
  }
}
