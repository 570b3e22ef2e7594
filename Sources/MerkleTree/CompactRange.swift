/// A growing Merkle tree, stored as the roots of its largest full subtrees: at most 64 hashes for any number of leaves.
///
/// An append costs one node hash on average and no heap allocation. A copy is a snapshot; the next append after a copy allocates once.
public struct CompactRange: Hashable, Sendable {
  /// Number of leaves.
  public private(set) var size: UInt64
  /// Roots of the full subtrees from left to right: one for each set bit of `size`, the highest bit first.
  public private(set) var hashes: [TreeHash]

  /// Makes the empty tree.
  public init() {
    size = 0
    hashes = []
    hashes.reserveCapacity(UInt64.bitWidth)
  }

  /// Makes a tree from its size and full subtrees.
  ///
  /// - Throws: `.malformed` unless `hashes` has one hash for each set bit of `size`.
  public init(size: UInt64, hashes: [TreeHash]) throws(EvidenceError) {
    guard hashes.count == size.nonzeroBitCount else {
      throw EvidenceError(
        .malformed, "tree state: a tree of \(size) leaves has \(size.nonzeroBitCount) full subtrees, got \(hashes.count) hashes")
    }
    self.init()
    self.size = size
    self.hashes.append(contentsOf: hashes)
  }

  /// Makes the tree of the first `size` leaves from stored tiles.
  ///
  /// - Throws: `.unavailable` if the reader returns the wrong number of hashes, and the reader's errors.
  public init(size: UInt64, reading reader: some TileHashReader) throws {
    self.init()
    self.size = size
    hashes.append(contentsOf: try reader.fullSubtrees(of: 0..<size))
  }

  /// Adds the leaf at index `size`.
  public mutating func append(_ leaf: TreeHash) {
    append(leaf) { _, _, _ in }
  }

  /// Adds the leaf at index `size` and reports each full subtree that it completes, the leaf itself first.
  ///
  /// - Parameter completed: gets the subtree's level (2^level leaves), its index in that level, and its root. A root whose level is a
  ///   multiple of 8 is entry `index` of tile level `level / 8`.
  public mutating func append(_ leaf: TreeHash, completed: (_ level: Int, _ index: UInt64, _ hash: TreeHash) -> Void) {
    var hash = leaf
    var level = 0
    completed(0, size, hash)
    while size >> UInt64(level) & 1 == 1 {
      hash = .node(hashes.removeLast(), hash)
      level += 1
      completed(level, size >> UInt64(level), hash)
    }
    hashes.append(hash)
    size += 1
  }

  /// Adds leaves from index `size` on. Faster than one by one, since it hashes level by level.
  ///
  /// - Parameter completed: called once per level that gains full subtrees, the leaves first: the level, the index of the first new
  ///   subtree in that level, and the roots of the new subtrees.
  public mutating func append(contentsOf leaves: [TreeHash], completed: (_ level: Int, _ index: UInt64, _ hashes: [TreeHash]) -> Void) {
    var rests: [TreeHash] = []
    var row = leaves
    var level = 0
    while !row.isEmpty {
      completed(level, size >> UInt64(level), row)
      if size >> UInt64(level) & 1 == 1 { row.insert(hashes.removeLast(), at: 0) }
      if row.count % 2 == 1 { rests.append(row[row.count - 1]) }
      row = TreeHash.nodes(row)
      level += 1
    }
    hashes += rests.reversed()
    size += UInt64(leaves.count)
  }

  /// The root hash of the tree.
  public var root: TreeHash { CompactRange.fold(hashes) }

  /// The root over adjacent full subtrees, given from left to right.
  static func fold(_ hashes: [TreeHash]) -> TreeHash {
    guard var root = hashes.last else { return .emptyTree }
    for hash in hashes.dropLast().reversed() { root = .node(hash, root) }
    return root
  }

  /// The encoded tree: `size` as 8 bytes, big-endian, then the hashes.
  public var encoded: [UInt8] { size.bigEndianBytes + hashes.flatMap(\.bytes) }

  /// Decodes a tree from `encoded`.
  ///
  /// - Throws: `.malformed` if the number of bytes does not fit the size.
  public init(encoded bytes: [UInt8]) throws(EvidenceError) {
    let size = UInt64(bigEndianBytes: bytes.prefix(8))
    guard bytes.count == 8 + size.nonzeroBitCount * TreeHash.byteCount else {
      throw EvidenceError(.malformed, "tree state: \(bytes.count) bytes do not fit a tree of \(size) leaves")
    }
    let hashes = stride(from: 8, to: bytes.count, by: TreeHash.byteCount).compactMap { TreeHash(bytes[$0..<($0 + TreeHash.byteCount)]) }
    try self.init(size: size, hashes: hashes)
  }
}
