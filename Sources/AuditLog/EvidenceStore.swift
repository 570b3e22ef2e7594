import AuditSchema
import MerkleTree

/// What a store keeps beside the records so that others can check them: the Merkle tree whose leaves are the records' headers, and the
/// signed checkpoints over it. Any thread may call, at any time.
public protocol EvidenceStore: AnyObject, Sendable, TileHashReader {
  /// The tree over every durable record.
  func treeHead() throws(StoreError) -> TreeHead

  /// The hashes of a tile, as wide as the tree makes it; empty past its end. Checked against the tree's root.
  ///
  /// - Throws: `.damaged` when neither the tree's files nor the log have them.
  func tile(level: Int, index: UInt64) throws(StoreError) -> [TreeHash]

  /// The checkpoint that covers most; of those that cover as many the one that was stored last.
  var newestCheckpoint: StoredCheckpoint? { get }

  /// Of the checkpoints that came back from witnesses lately (the newest MiB of them at the least), the one that covers most and is
  /// wanted.
  func newestCosigned(where isWanted: (StoredCheckpoint) -> Bool) throws(StoreError) -> StoredCheckpoint?

  /// Stores a checkpoint and returns when it would survive a power cut; only then anybody may see it. One that covers fewer records than
  /// the newest is passed over.
  ///
  /// - Throws: `.full`, `.invalid` (its note is too long): nothing was stored; `.failed`: no checkpoint is stored any more.
  func store(_ checkpoint: StoredCheckpoint) throws(StoreError)

  /// Stores a checkpoint again that came back from witnesses, with their signatures; it need not be the newest. One that has been passed by
  /// a whole file of others is passed over.
  ///
  /// - Returns: whether it was stored.
  /// - Throws: as `store` does.
  @discardableResult
  func store(cosigned checkpoint: StoredCheckpoint) throws(StoreError) -> Bool

  /// Calls `body` with every stored checkpoint, ascending by size; those that came back from witnesses after the ones they repeat.
  func forEachCheckpoint(_ body: (StoredCheckpoint) throws -> Void) throws

  /// Stores the order to erase a record's body, durably: whatever happens, it is carried out.
  ///
  /// - Throws: `.invalid` when there is no such record, or it has no body any more.
  func order(_ erasure: Erasure) throws(StoreError)

  /// Overwrites the body, durably, and forgets the order.
  func erase(_ erasure: Erasure) throws(StoreError)

  /// Orders that are not forgotten. At the start, those that a crash left over: nobody has checked who gave them.
  var pendingErasures: [Erasure] { get }

  /// The name of the log in its statements, where it was given one.
  var origin: String? { get }
}

/// How many records a log has, and the root of the tree over them.
public struct TreeHead: Sendable, Equatable {
  public var size: UInt64
  public var root: TreeHash

  public init(size: UInt64, root: TreeHash) {
    self.size = size
    self.root = root
  }
}

extension EvidenceStore {
  public func tileHashes(level: Int, indices: Range<UInt64>) throws -> [TreeHash] {
    guard !indices.isEmpty else { return [] }
    let tile = try tile(level: level, index: indices.lowerBound >> 8)
    let start = Int(indices.lowerBound & 255)
    guard start + indices.count <= tile.count else { return [] }
    return Array(tile[start..<start + indices.count])
  }
}

/// The order to erase a record's body.
public struct Erasure: Sendable, Equatable {
  public var sequence: UInt64
  /// The durable end when it was given: the record about it is at or behind it.
  public var logSize: UInt64
  /// The signed statement that asked for it.
  public var note: [UInt8]

  public init(sequence: UInt64, logSize: UInt64, note: [UInt8]) {
    self.sequence = sequence
    self.logSize = logSize
    self.note = note
  }
}

/// What the scrub has found since the server's start.
public struct ScrubStatus: Sendable, Equatable {
  public var records: UInt64 = 0
  public var bytes: UInt64 = 0
  /// Whole rounds over all sealed segments.
  public var rounds: UInt64 = 0
  /// When the last whole round ended, Unix ns; 0 before the first.
  public var roundEndedAt: UInt64 = 0
  /// Sentences on what is damaged now, of the last look at each segment; at most 16.
  public var findings: [String] = []

  public init() {}
}
