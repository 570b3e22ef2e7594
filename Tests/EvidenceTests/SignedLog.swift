import AuditLog
import AuditSchema
import Foundation
import Logging
import MerkleTree
import SegmentStore
import Synchronization
import TestSupport

/// A small log as the real store writes it, with checkpoints, records that were erased, and a key that was changed on the way.
struct SignedLog {
  static let origin = "log.example/tampered"
  static var quiet: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }

  /// The data directory in the end.
  var files: [String: [UInt8]] = [:]
  /// Older copies of it, each made behind a checkpoint.
  var copies: [[String: [UInt8]]] = []
  /// The newest checkpoint that somebody was shown.
  var newest: SignedCheckpoint
  /// The one that signed at first, and the one that came beside it, and then in its place.
  let keys: [SignerKey]
  let segmentBytes: UInt64

  /// What an auditor trusts who has known the log since its first day.
  var trusted: [VerifierKey] { [keys[0].verifier] }

  private init(newest: SignedCheckpoint, keys: [SignerKey], segmentBytes: UInt64) {
    self.newest = newest
    self.keys = keys
    self.segmentBytes = segmentBytes
  }

  /// - Parameters:
  ///   - records: about so many.
  ///   - isRunning: the directory is one that a server uses: zeros ahead, and records that no checkpoint covers yet.
  static func make(records: UInt64, segmentBytes: UInt64, isRunning: Bool, random: inout SeededRandom) async throws -> SignedLog {
    let keys = try (0..<2).map { _ in try SignerKey.generate(name: origin, kind: .ed25519) }
    let disk = MemoryFileSystem()
    let clock = Mutex<UInt64>(1_767_225_600_000_000_000)
    let now: @Sendable () -> UInt64 = {
      clock.withLock { time in
        time += 1_000_000
        return time
      }
    }
    var made: SignedLog?
    var erasable: [UInt64] = []
    let eras = [[keys[0]], keys, [keys[1]]]
    for (era, signers) in eras.enumerated() {
      let log = try await open(disk, signers: signers, segmentBytes: segmentBytes, now: now)
      let end = records * UInt64(era + 1) / UInt64(eras.count)
      while log.nextSequence < end {
        let count = 1 + random.below(9)
        let events = (0..<count).map { _ in
          Event.custom(
            json: Array(#"{"kind": "k\#(random.below(5))", "text": "\#(String(repeating: "x", count: random.below(150)))"}"#.utf8))
        }
        erasable += try await log.append(events).sequences
        if random.oneIn(20) {
          let note = try order(erasable.remove(at: random.below(erasable.count)), of: log, signedBy: signers[0])
          _ = try await log.eraser?.erase(note)
        }
        if random.oneIn(8) {
          let newest = try await log.checkpoint()
          made = made ?? SignedLog(newest: newest, keys: keys, segmentBytes: segmentBytes)
          made?.copies.append(disk.contents)
        }
      }
      let newest = try await log.checkpoint()
      made = made ?? SignedLog(newest: newest, keys: keys, segmentBytes: segmentBytes)
      made?.newest = newest
      if era == eras.count - 1, isRunning {
        for _ in 0..<1 + random.below(4) { try await log.append([.custom(json: Array(#"{"kind": "not covered"}"#.utf8))]) }
        made?.files = disk.contents
      }
      try log.close()
      if era < eras.count - 1 { made?.copies.append(disk.contents) }
    }
    var log = made!
    if log.files.isEmpty { log.files = disk.contents }
    return log
  }

  /// The signed order to erase a record that the log has.
  static func order(_ sequence: UInt64, of log: AuditLog, signedBy signer: SignerKey) throws -> [UInt8] {
    let reader = RecordReader(store: log.store, from: sequence)
    let record = try reader.next(before: sequence + 1).flatMap { try Record.records(inBatch: $0.bytes).first }
    let statement = try ErasureStatement(
      origin: origin, logID: log.store.start.logID, sequence: sequence,
      leafHash: record.map { TreeHash.leaf(Array($0.encodedHeader)).bytes } ?? [UInt8](repeating: 0, count: 32), by: "auditor",
      reason: "asked for")
    var note = try SignedNote(text: statement.text)
    try note.sign(with: [signer])
    return note.bytes
  }

  /// Starts a log on `disk`, as the server does.
  static func open(
    _ disk: some FileSystem, signers: [SignerKey], segmentBytes: UInt64, now: @escaping @Sendable () -> UInt64
  ) async throws -> AuditLog {
    var store = SegmentStoreConfiguration()
    store.segmentBytes = segmentBytes
    store.zeroAheadBytes = 2048
    store.indexSpacingBytes = 1024
    store.origin = origin
    var configuration = AuditLogConfiguration()
    configuration.signingKeys = signers
    // Only those that are asked for.
    configuration.checkpointInterval = .seconds(1 << 20)
    configuration.checkpointsPerSecond = 1 << 20
    let log = try AuditLog(
      store: SegmentStore(directory: ForgedLog.root, configuration: store, fileSystem: disk, logger: quiet), hub: "hub",
      configuration: configuration, now: now, logger: quiet)
    do { try await log.finishOpening() } catch {
      try? log.close()
      throw error
    }
    return log
  }
}

extension AuditLog {
  /// A checkpoint that covers every record.
  func checkpoint() async throws -> SignedCheckpoint {
    let stored = try await withCheckedThrowingContinuation { continuation in
      checkpoints!.covering(nextSequence) { continuation.resume(with: $0) }
    }
    return try SignedCheckpoint(stored.note)
  }
}
