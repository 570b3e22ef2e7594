/// A growing Merkle tree, kept as the roots of its largest full subtrees: at most 64 hashes, whatever the number of leaves.
///
/// An append costs one node hash on average and no heap allocation. A copy is a snapshot; taking one makes the next append
/// allocate once.
public struct CompactRange: Hashable, Sendable {
  /// Number of leaves.
  public private(set) var size: UInt64
  /// Roots of the full subtrees from left to right: one for each bit that is set in `size`, the highest first.
  public private(set) var hashes: [TreeHash]

  /// The tree without leaves.
  public init() {
    size = 0
    hashes = []
    hashes.reserveCapacity(UInt64.bitWidth)
  }

  /// A tree from its state.
  ///
  /// - Throws: `.malformed` unless there is one hash for each bit that is set in `size`.
  public init(size: UInt64, hashes: [TreeHash]) throws(EvidenceError) {
    guard hashes.count == size.nonzeroBitCount else {
      throw EvidenceError(
        .malformed, "tree state: a tree of \(size) leaves has \(size.nonzeroBitCount) full subtrees, got \(hashes.count) hashes")
    }
    self.init()
    self.size = size
    self.hashes.append(contentsOf: hashes)
  }

  /// The first `size` leaves of a tree whose tiles can be read.
  ///
  /// - Throws: `.unavailable` when the reader returns too few hashes, and what the reader throws.
  public init(size: UInt64, reading reader: some TileHashReader) throws {
    self.init()
    self.size = size
    hashes.append(contentsOf: try reader.fullSubtrees(of: 0..<size))
  }

  /// Adds the leaf at index `size`.
  public mutating func append(_ leaf: TreeHash) {
    append(leaf) { _, _, _ in }
  }

  /// Adds the leaf at index `size` and hands over every full subtree that it completes, the leaf first.
  ///
  /// - Parameter completed: gets the subtree's level (it has 2^level leaves), its index among those of its level, and its root.
  ///   Those whose level is a multiple of 8 are what tiles hold: entry `index` of tile level `level / 8`.
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

  /// Adds leaves from index `size` on, level by level, which takes less time than one by one.
  ///
  /// - Parameter completed: gets the full subtrees that they complete: once for each level with such, the leaves first, with the index of
  ///   the first among those of its level.
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

  /// The root of the tree as it is now.
  public var root: TreeHash { CompactRange.fold(hashes) }

  /// The root over adjacent full subtrees, from left to right.
  static func fold(_ hashes: [TreeHash]) -> TreeHash {
    guard var root = hashes.last else { return .emptyTree }
    for hash in hashes.dropLast().reversed() { root = .node(hash, root) }
    return root
  }

  /// The state as bytes: the size, 8 bytes in big-endian order, then the hashes.
  public var encoded: [UInt8] { size.bigEndianBytes + hashes.flatMap(\.bytes) }

  /// A tree from what `encoded` returned.
  ///
  /// - Throws: `.malformed` when the number of bytes does not fit the size.
  public init(encoded bytes: [UInt8]) throws(EvidenceError) {
    let size = UInt64(bigEndianBytes: bytes.prefix(8))
    guard bytes.count == 8 + size.nonzeroBitCount * TreeHash.byteCount else {
      throw EvidenceError(.malformed, "tree state: \(bytes.count) bytes are not a size and the hashes of its full subtrees")
    }
    let hashes = stride(from: 8, to: bytes.count, by: TreeHash.byteCount).compactMap { TreeHash(bytes[$0..<($0 + TreeHash.byteCount)]) }
    try self.init(size: size, hashes: hashes)
  }
}
