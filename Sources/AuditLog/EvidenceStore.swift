import AuditSchema
import MerkleTree

/// The evidence that a store keeps beside the records: the Merkle tree over their headers, and the signed checkpoints. Any thread may call.
public protocol EvidenceStore: AnyObject, Sendable, TileHashReader {
  /// The tree over every durable record.
  func treeHead() throws(StoreError) -> TreeHead

  /// The hashes of a tile, as many as the tree has; empty beyond its end. Checked against the tree's root.
  ///
  /// - Throws: `.damaged` if neither the tree's files nor the segments give them.
  func tile(level: Int, index: UInt64) throws(StoreError) -> [TreeHash]

  /// The largest checkpoint; of equally large ones, the one stored last.
  var newestCheckpoint: StoredCheckpoint? { get }

  /// The largest cosigned checkpoint that `isWanted` accepts, among the newest (at least 1 MiB of them).
  func newestCosigned(where isWanted: (StoredCheckpoint) -> Bool) throws(StoreError) -> StoredCheckpoint?

  /// Stores a checkpoint and returns when it would survive a power cut. Only then may anybody see it. A checkpoint smaller than the newest is not
  /// stored.
  ///
  /// - Throws: `.full`, `.invalid` (its note is too long): nothing was stored. `.failed`: no more checkpoints are stored.
  func store(_ checkpoint: StoredCheckpoint) throws(StoreError)

  /// Stores a checkpoint again with its cosignatures; it need not be the newest. One that is older than the newest file of cosigned checkpoints
  /// is not stored.
  ///
  /// - Returns: whether it was stored.
  /// - Throws: as `store` does.
  @discardableResult
  func store(cosigned checkpoint: StoredCheckpoint) throws(StoreError) -> Bool

  /// Calls `body` with every stored checkpoint, ascending by size; a cosigned one comes after the one that it repeats.
  func forEachCheckpoint(_ body: (StoredCheckpoint) throws -> Void) throws

  /// Stores the order to erase a body, durably: from then on it will be carried out.
  ///
  /// - Throws: `.invalid` if there is no such record, or its body was erased before.
  func order(_ erasure: Erasure) throws(StoreError)

  /// Overwrites the body durably, then removes the order.
  func erase(_ erasure: Erasure) throws(StoreError)

  /// Orders that are not carried out yet. After a start these are from before a crash, and their signatures must be checked again.
  var pendingErasures: [Erasure] { get }

  /// The log's origin: its name in checkpoints; `nil` for a log that was never signed.
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
  /// The durable end when the order was given. The record about it is at this sequence or later.
  public var logSize: UInt64
  /// The signed statement.
  public var note: [UInt8]

  public init(sequence: UInt64, logSize: UInt64, note: [UInt8]) {
    self.sequence = sequence
    self.logSize = logSize
    self.note = note
  }
}

/// The scrub's results since the server's start.
public struct ScrubStatus: Sendable, Equatable {
  public var records: UInt64 = 0
  public var bytes: UInt64 = 0
  /// Whole rounds over all sealed segments.
  public var rounds: UInt64 = 0
  /// When the last whole round ended, Unix ns; 0 before the first.
  public var roundEndedAt: UInt64 = 0
  /// Descriptions of current damage, from the last check of each segment; at most 16.
  public var findings: [String] = []

  public init() {}
}
