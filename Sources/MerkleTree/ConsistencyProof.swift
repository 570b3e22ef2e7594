/// Proves that a tree begins with all leaves of an older tree (RFC 6962, section 2.1.2).
public struct ConsistencyProof: Hashable, Sendable {
  /// Number of leaves of the older tree.
  public var oldSize: UInt64
  /// Number of leaves of the newer tree.
  public var newSize: UInt64
  /// The node hashes of the proof, from the bottom of the tree up.
  public var path: [TreeHash]

  public init(oldSize: UInt64, newSize: UInt64, path: [TreeHash]) {
    self.oldSize = oldSize
    self.newSize = newSize
    self.path = path
  }

  /// Builds the proof from stored tiles. The path is empty if `oldSize` is 0 or equals `newSize`.
  ///
  /// - Throws: `.outOfRange` unless `oldSize <= newSize`; `.unavailable` for missing hashes; the reader's errors.
  public init(oldSize: UInt64, newSize: UInt64, reading reader: some TileHashReader) throws {
    self.init(oldSize: oldSize, newSize: newSize, path: [])
    try checkSizes()
    guard oldSize > 0, oldSize < newSize else { return }
    var branch = 0..<newSize
    while branch.upperBound != oldSize {
      let split = branch.split
      if oldSize <= split {
        path.append(try reader.root(of: split..<branch.upperBound))
        branch = branch.lowerBound..<split
      } else {
        path.append(try reader.root(of: branch.lowerBound..<split))
        branch = split..<branch.upperBound
      }
    }
    // A branch that begins at leaf 0 is the whole old tree. The verifier has its root.
    if branch.lowerBound > 0 { path.append(try reader.root(of: branch)) }
    path.reverse()
  }

  /// Verifies that the tree with root `newRoot` begins with the tree with root `oldRoot` (RFC 9162, section 2.1.4.2).
  ///
  /// - Throws: `.outOfRange` unless `oldSize <= newSize`; `.proofMismatch` if the path's length does not fit the sizes or the path leads to
  ///   another root.
  public func verify(oldRoot: TreeHash, newRoot: TreeHash) throws(EvidenceError) {
    try checkSizes()
    guard oldSize > 0, oldSize < newSize else {
      guard path.isEmpty else { throw wrongLength }
      if oldSize == 0 { try check(oldRoot, is: .emptyTree, "old") }
      if oldSize == newSize { try check(newRoot, is: oldRoot, "new") }
      return
    }
    var hashes = path[...]
    // If the old tree is one full subtree, the path omits it and begins after its root.
    let first = oldSize.nonzeroBitCount == 1 ? oldRoot : hashes.popFirst()
    guard let first else { throw wrongLength }
    var position = oldSize - 1
    var last = newSize - 1
    while position & 1 == 1 {
      position >>= 1
      last >>= 1
    }
    var old = first
    var new = first
    for hash in hashes {
      guard last != 0 else { throw wrongLength }
      if position & 1 == 1 || position == last {
        old = .node(hash, old)
        new = .node(hash, new)
        while position & 1 == 0, position != 0 {
          position >>= 1
          last >>= 1
        }
      } else {
        new = .node(new, hash)
      }
      position >>= 1
      last >>= 1
    }
    guard last == 0 else { throw wrongLength }
    try check(old, is: oldRoot, "old")
    try check(new, is: newRoot, "new")
  }

  private func checkSizes() throws(EvidenceError) {
    guard oldSize <= newSize else {
      throw EvidenceError(.outOfRange, "consistency proof: the tree shrank from \(oldSize) to \(newSize) leaves")
    }
  }

  private func check(_ reached: TreeHash, is root: TreeHash, _ which: String) throws(EvidenceError) {
    guard reached == root else {
      throw EvidenceError(
        .proofMismatch, "consistency proof from \(oldSize) to \(newSize): the \(which) root is \(root), the proof leads to \(reached)")
    }
  }

  private var wrongLength: EvidenceError {
    EvidenceError(.proofMismatch, "consistency proof: a path of \(path.count) hashes does not fit the sizes \(oldSize) and \(newSize)")
  }
}
