/// Reads the hashes that tiles hold. A store implements it; proofs and roots are built from it.
public protocol TileHashReader {
  /// The hashes at `indices` of tile level `level`: entry i is the root of the full subtree over the leaves
  /// [i * 256^level, (i + 1) * 256^level).
  ///
  /// Asked for at most 128 hashes at once, never across the border of a tile (a multiple of 256), and only for subtrees that lie
  /// wholly within the tree whose size was given to the caller.
  func tileHashes(level: Int, indices: Range<UInt64>) throws -> [TreeHash]
}

extension TileHashReader {
  /// The root of the first `size` leaves.
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
        .unavailable, "tile level \(tileLevel): \(hashes.count) hashes were read where \(indices) were asked for; is the tree complete?")
    }
    var count = hashes.count
    while count > 1 {
      count /= 2
      for position in 0..<count { hashes[position] = .node(hashes[2 * position], hashes[2 * position + 1]) }
    }
    return hashes[0]
  }

  /// Roots of the largest full subtrees of a range of leaves, left to right. The range begins at a multiple of a power of two that is not
  /// smaller than its length, as every branch of a tree does.
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

  /// The root of a branch: a range of leaves as `fullSubtrees` takes it.
  func root(of leaves: Range<UInt64>) throws -> TreeHash {
    CompactRange.fold(try fullSubtrees(of: leaves))
  }
}

extension Range<UInt64> {
  /// Where RFC 6962 splits a branch of at least two leaves: after the largest power of two that is smaller than their number.
  var split: UInt64 {
    let level = UInt64.bitWidth - 1 - (upperBound - lowerBound - 1).leadingZeroBitCount
    return lowerBound + 1 << UInt64(level)
  }
}
