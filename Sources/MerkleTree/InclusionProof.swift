/// Proves that a leaf is at an index of a tree (RFC 6962, section 2.1.1).
public struct InclusionProof: Hashable, Sendable {
  /// Index of the leaf, from 0.
  public var index: UInt64
  /// Number of leaves of the tree.
  public var treeSize: UInt64
  /// The sibling hashes from the leaf up to the root's child.
  public var path: [TreeHash]

  public init(index: UInt64, treeSize: UInt64, path: [TreeHash]) {
    self.index = index
    self.treeSize = treeSize
    self.path = path
  }

  /// Builds the proof from stored tiles.
  ///
  /// - Throws: `.outOfRange` unless `index < treeSize`; `.unavailable` for missing hashes; the reader's errors.
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

  /// The root that the path gives for a leaf hash (RFC 9162, section 2.1.3.2).
  ///
  /// - Throws: `.outOfRange` unless `index < treeSize`; `.proofMismatch` if the path's length does not fit the index and size.
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

  /// Verifies that `leaf` is in the tree with this root.
  ///
  /// - Throws: the errors of `root(leaf:)`; `.proofMismatch` if the path leads to another root.
  public func verify(leaf: TreeHash, root: TreeHash) throws(EvidenceError) {
    let reached = try self.root(leaf: leaf)
    guard reached == root else {
      throw EvidenceError(
        .proofMismatch, "inclusion proof: the path of leaf \(index) of \(treeSize) leads to root \(reached); expected \(root)")
    }
  }

  private func checkIndex() throws(EvidenceError) {
    guard index < treeSize else {
      throw EvidenceError(.outOfRange, "inclusion proof: a tree of \(treeSize) leaves has no leaf \(index)")
    }
  }

  private var wrongLength: EvidenceError {
    EvidenceError(.proofMismatch, "inclusion proof: a path of \(path.count) hashes does not fit leaf \(index) of \(treeSize)")
  }
}
