/// Shows that a leaf is at an index of a tree (RFC 6962, section 2.1.1).
public struct InclusionProof: Hashable, Sendable {
  public var index: UInt64
  public var treeSize: UInt64
  /// From the leaf's sibling up to the root's child.
  public var path: [TreeHash]

  public init(index: UInt64, treeSize: UInt64, path: [TreeHash]) {
    self.index = index
    self.treeSize = treeSize
    self.path = path
  }

  /// Builds the proof.
  ///
  /// - Throws: `.outOfRange` unless `index < treeSize`, and what the reader throws.
  public init(index: UInt64, treeSize: UInt64, reading reader: some TileHashReader) throws {
    self.init(index: index, treeSize: treeSize, path: [])
    try checkIndex()
    var branch = 0..<treeSize
    while branch.upperBound - branch.lowerBound > 1 {
      let split = branch.split
      if index < split {
        path.append(try reader.root(of: split..<branch.upperBound))
        branch = branch.lowerBound..<split
      } else {
        path.append(try reader.root(of: branch.lowerBound..<split))
        branch = split..<branch.upperBound
      }
    }
    path.reverse()
  }

  /// The root that the path leads to from a leaf's hash (RFC 9162, section 2.1.3.2).
  ///
  /// - Throws: `.outOfRange` unless `index < treeSize`; `.proofMismatch` when the path's length is not that of this place.
  public func root(leaf: TreeHash) throws(EvidenceError) -> TreeHash {
    try checkIndex()
    var position = index
    var last = treeSize - 1
    var root = leaf
    for hash in path {
      guard last != 0 else { throw wrongLength }
      if position & 1 == 1 || position == last {
        root = .node(hash, root)
        while position & 1 == 0, position != 0 {
          position >>= 1
          last >>= 1
        }
      } else {
        root = .node(root, hash)
      }
      position >>= 1
      last >>= 1
    }
    guard last == 0 else { throw wrongLength }
    return root
  }

  /// Returns when the proof shows that `leaf` is in the tree with this root.
  ///
  /// - Throws: as `root(leaf:)`; `.proofMismatch` when the path leads to another root.
  public func verify(leaf: TreeHash, root: TreeHash) throws(EvidenceError) {
    let reached = try self.root(leaf: leaf)
    guard reached == root else {
      throw EvidenceError(
        .proofMismatch, "inclusion proof: leaf \(index) of \(treeSize) leads to the root \(reached), the tree's root is \(root)")
    }
  }

  private func checkIndex() throws(EvidenceError) {
    guard index < treeSize else {
      throw EvidenceError(.outOfRange, "inclusion proof: there is no leaf \(index) in a tree of \(treeSize)")
    }
  }

  private var wrongLength: EvidenceError {
    EvidenceError(.proofMismatch, "inclusion proof: a path of \(path.count) hashes does not fit leaf \(index) of \(treeSize)")
  }
}
