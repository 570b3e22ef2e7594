/// Reads the hashes of tiles. A store implements it; roots and proofs are built from it.
public protocol TileHashReader {
  /// The hashes at `indices` of tile level `level`. Hash i is the root of the full subtree over leaves [i * 256^level, (i + 1) *
  /// 256^level).
  ///
  /// A call asks for at most 128 hashes of one tile, and only for full subtrees of the tree whose size the caller gave.
  func tileHashes(level: Int, indices: Range<UInt64>) throws -> [TreeHash]
}

extension TileHashReader {
  /// The root hash of the first `size` leaves.
  ///
  /// - Throws: `.unavailable` if `tileHashes` returns the wrong number of hashes, and its errors.
  public func root(size: UInt64) throws -> TreeHash {
    try root(of: 0..<size)
  }

  /// The root of the full subtree over the leaves [index * 2^level, (index + 1) * 2^level).
  func subtree(level: Int, index: UInt64) throws -> TreeHash {
    let tileLevel = level / 8
    let height = UInt64(level % 8)
    let indices = (index << height)..<((index + 1) << height)
    var hashes = try tileHashes(level: tileLevel, indices: indices)
    guard hashes.count == indices.count else {
      throw EvidenceError(
        .unavailable, "tile level \(tileLevel): expected the hashes \(indices), got \(hashes.count) hashes; is the tree complete?")
    }
    var count = hashes.count
    while count > 1 {
      count /= 2
      for position in 0..<count { hashes[position] = .node(hashes[2 * position], hashes[2 * position + 1]) }
    }
    return hashes[0]
  }

  /// Roots of the largest full subtrees of a range of leaves, from left to right.
  ///
  /// - Parameter leaves: a branch of a tree: its start is a multiple of a power of two that is at least its length.
  func fullSubtrees(of leaves: Range<UInt64>) throws -> [TreeHash] {
    var hashes: [TreeHash] = []
    var start = leaves.lowerBound
    while start < leaves.upperBound {
      let level = UInt64.bitWidth - 1 - (leaves.upperBound - start).leadingZeroBitCount
      hashes.append(try subtree(level: level, index: start >> UInt64(level)))
      start += 1 << UInt64(level)
    }
    return hashes
  }

  /// The root hash of a branch, as for `fullSubtrees`.
  func root(of leaves: Range<UInt64>) throws -> TreeHash {
    CompactRange.fold(try fullSubtrees(of: leaves))
  }
}

extension Range<UInt64> {
  /// Where RFC 6962 splits a branch of at least 2 leaves: after the largest power of two that is less than their number.
  var split: UInt64 {
    let level = UInt64.bitWidth - 1 - (upperBound - lowerBound - 1).leadingZeroBitCount
    return lowerBound + 1 << UInt64(level)
  }
}
