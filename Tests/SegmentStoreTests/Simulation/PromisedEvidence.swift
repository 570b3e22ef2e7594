import AuditLog
import AuditSchema
import MerkleTree
import SegmentStore

/// The checkpoints that were shown to somebody, and the tree that they speak of, made without the store.
struct PromisedEvidence {
  private static let key = try! SignerKey(name: "log.example/lab", kind: .ed25519, seed: [UInt8](repeating: 1, count: 32))

  private static let witness = try! SignerKey(name: "w", kind: .cosignature, seed: [UInt8](repeating: 2, count: 32))

  private(set) var checkpoints: [StoredCheckpoint] = []
  /// Those that came back from witnesses.
  private(set) var cosigned: [StoredCheckpoint] = []
  /// On its way, or one that failed: it may be there after a crash, whole, or not.
  private(set) var underway: StoredCheckpoint?
  private var isUnderwayCosigned = false

  /// A checkpoint over `records`, which are all that the store holds.
  static func checkpoint(_ store: SegmentStore, records: [UInt8], time: UInt64) throws -> StoredCheckpoint {
    let head = try store.treeHead()
    guard head == Self.head(of: records) else { throw FixtureError("the tree of \(head.size) records is not theirs") }
    // Some take more than a sector.
    let extensions = time % 30 == 0 ? [String(repeating: "x", count: Int(time * 13 % 700) + 1)] : []
    let signed = try SignedCheckpoint(
      Checkpoint(origin: key.verifier.name, size: head.size, root: head.root, extensions: extensions), signedBy: [key])
    return StoredCheckpoint(size: head.size, storedAt: time, note: signed.bytes)
  }

  /// The checkpoint is about to be stored. After one that failed, nothing more may get to the disk.
  mutating func begin(_ checkpoint: StoredCheckpoint, isCosigned: Bool) {
    guard underway == nil else { return }
    underway = checkpoint
    isUnderwayCosigned = isCosigned
  }

  /// The store says that nothing was stored.
  mutating func refuse(_ checkpoint: StoredCheckpoint) { if underway == checkpoint { underway = nil } }

  mutating func accept(_ checkpoint: StoredCheckpoint) throws {
    guard underway == checkpoint else { throw FixtureError("a checkpoint after one that failed was taken") }
    if isUnderwayCosigned { cosigned.append(checkpoint) } else { checkpoints.append(checkpoint) }
    underway = nil
  }

  /// What a witness sends back when there is one checkpoint more.
  func cosigned(time: UInt64) throws -> StoredCheckpoint? {
    guard let earlier = checkpoints.dropLast().last ?? checkpoints.last else { return nil }
    var signed = try SignedCheckpoint(earlier.note)
    signed.add(try Self.witness.cosign(signed.checkpoint, time: time))
    return StoredCheckpoint(size: earlier.size, storedAt: time, note: signed.bytes)
  }

  /// All of them as the store goes through them.
  private var history: [StoredCheckpoint] {
    let all = checkpoints.map { ($0, 0) } + cosigned.map { ($0, 1) }
    return all.sorted { ($0.0.size, $0.1, $0.0.storedAt) < ($1.0.size, $1.1, $1.0.storedAt) }.map(\.0)
  }

  /// Compares what an opened store holds with what was promised.
  mutating func settle(_ store: SegmentStore, records: [UInt8]) throws {
    var found: [StoredCheckpoint] = []
    try store.forEachCheckpoint { found.append($0) }
    var more = self
    if let underway { try more.accept(underway) }
    if found == more.history { self = more }
    guard found == history,
      store.newestCheckpoint == found.max(by: { ($0.size, $0.storedAt) < ($1.size, $1.storedAt) })
    else { throw FixtureError("\(found.count) checkpoints were found, and \(checkpoints.count) + \(cosigned.count) were shown") }
    underway = nil
    guard try store.treeHead() == Self.head(of: records) else { throw FixtureError("the tree is not that of the records") }
    let first = Array(Self.leaves(of: records).prefix(256))
    guard try store.tile(level: 0, index: 0) == first else { throw FixtureError("the first tile is not that of the records") }
  }

  private static func leaves(of records: [UInt8]) -> [TreeHash] {
    records.withUnsafeBytes { bytes in
      var leaves: [TreeHash] = []
      RecordBatchBytes(bytes).forEachRange { record, _ in
        var fields = WireReader(record)
        leaves.append(.leaf(fields.next()?.bytes ?? record))
      }
      return leaves
    }
  }

  private static func head(of records: [UInt8]) -> TreeHead {
    var tree = CompactRange()
    for leaf in leaves(of: records) { tree.append(leaf) }
    return TreeHead(size: tree.size, root: tree.root)
  }
}
