import MerkleTree
import Testing

struct ForgeryTests {
  private let stored = StoredTree(size: 300)
  private var leaves: [TreeHash] { stored.levels[0] }

  private func flipped(_ hash: TreeHash, bit: Int) -> TreeHash {
    var bytes = hash.bytes
    bytes[bit / 8] ^= 1 << UInt8(bit % 8)
    return TreeHash(bytes)!
  }

  @Test("an inclusion proof with anything changed does not verify")
  func inclusion() throws {
    var random = SeededGenerator(printing: "changed inclusion proofs")
    for size in [1, 2, 3, 7, 8, 9, 255, 256, 257, 300] {
      let root = try stored.root(size: UInt64(size))
      for index in Set([0, size / 2, size - 1]) {
        let proof = try InclusionProof(index: UInt64(index), treeSize: UInt64(size), reading: stored)
        let leaf = leaves[index]
        try proof.verify(leaf: leaf, root: root)
        func rejects(_ change: (inout InclusionProof) -> Void, _ comment: Comment) {
          var changed = proof
          change(&changed)
          #expect(code { try changed.verify(leaf: leaf, root: root) } == .proofMismatch, comment)
        }
        for position in proof.path.indices {
          rejects({ $0.path[position] = flipped($0.path[position], bit: Int.random(in: 0..<256, using: &random)) }, "hash \(position)")
          rejects({ $0.path.remove(at: position) }, "removed \(position)")
          rejects({ $0.path.insert($0.path[position], at: position) }, "doubled \(position)")
        }
        rejects({ $0.path.append(root) }, "one more")
        if proof.path.count > 1 { rejects({ $0.path.swapAt(0, 1) }, "swapped") }
        for other in 0..<size where other != index { rejects({ $0.index = UInt64(other) }, "index \(other) for \(index) of \(size)") }
        let bit = Int.random(in: 0..<256, using: &random)
        #expect(code { try proof.verify(leaf: flipped(leaf, bit: bit), root: root) } == .proofMismatch)
        #expect(code { try proof.verify(leaf: leaf, root: flipped(root, bit: bit)) } == .proofMismatch)
        var outside = proof
        outside.index = UInt64(size)
        #expect(code { try outside.verify(leaf: leaf, root: root) } == .outOfRange)
      }
    }
  }

  @Test("a consistency proof with anything changed does not verify")
  func consistency() throws {
    var random = SeededGenerator(printing: "changed consistency proofs")
    for (old, new) in [(1, 2), (1, 300), (2, 3), (3, 7), (4, 7), (6, 8), (8, 8), (255, 256), (256, 257), (128, 300), (299, 300)] {
      let oldRoot = try stored.root(size: UInt64(old))
      let newRoot = try stored.root(size: UInt64(new))
      let proof = try ConsistencyProof(oldSize: UInt64(old), newSize: UInt64(new), reading: stored)
      try proof.verify(oldRoot: oldRoot, newRoot: newRoot)
      func rejects(_ change: (inout ConsistencyProof) -> Void, _ comment: Comment) {
        var changed = proof
        change(&changed)
        #expect(code { try changed.verify(oldRoot: oldRoot, newRoot: newRoot) } == .proofMismatch, comment)
      }
      for position in proof.path.indices {
        rejects({ $0.path[position] = flipped($0.path[position], bit: Int.random(in: 0..<256, using: &random)) }, "hash \(position)")
        rejects({ $0.path.remove(at: position) }, "removed \(position)")
      }
      rejects({ $0.path.append(newRoot) }, "one more")
      rejects({ $0.path = [] + ($0.path.isEmpty ? [newRoot] : []) }, "emptied")
      let bit = Int.random(in: 0..<256, using: &random)
      #expect(code { try proof.verify(oldRoot: flipped(oldRoot, bit: bit), newRoot: newRoot) } == .proofMismatch)
      #expect(code { try proof.verify(oldRoot: oldRoot, newRoot: flipped(newRoot, bit: bit)) } == .proofMismatch)
      if old < new {
        let shrunk = ConsistencyProof(oldSize: UInt64(new), newSize: UInt64(old), path: proof.path)
        #expect(code { try shrunk.verify(oldRoot: newRoot, newRoot: oldRoot) } == .outOfRange)
      }
    }
  }

  @Test("the empty tree is consistent with every tree, without a hash, and only with its own root")
  func emptyTree() throws {
    let root = try stored.root(size: 5)
    let proof = ConsistencyProof(oldSize: 0, newSize: 5, path: [])
    try proof.verify(oldRoot: .emptyTree, newRoot: root)
    #expect(code { try proof.verify(oldRoot: root, newRoot: root) } == .proofMismatch)
    let long = ConsistencyProof(oldSize: 0, newSize: 5, path: [root])
    #expect(code { try long.verify(oldRoot: .emptyTree, newRoot: root) } == .proofMismatch)
    let none = ConsistencyProof(oldSize: 0, newSize: 0, path: [])
    #expect(code { try none.verify(oldRoot: .emptyTree, newRoot: root) } == .proofMismatch)
  }

  @Test("a log that was edited has no proof that continues its old root")
  func edited() throws {
    let forged = StoredTree()
    for (index, leaf) in leaves.enumerated() { forged.append(index == 17 ? .leaf([1]) : leaf) }
    for old: UInt64 in [18, 32, 100, 256, 299] {
      let proof = try ConsistencyProof(oldSize: old, newSize: 300, reading: forged)
      #expect(code { try proof.verify(oldRoot: try stored.root(size: old), newRoot: forged.tree.root) } == .proofMismatch)
    }
  }

  @Test("sizes of 64 bits are walked without a trap, whatever the path")
  func hugeSizes() throws {
    let path = [TreeHash](repeating: .emptyTree, count: 64)
    for index in [0, 1, UInt64.max / 2, UInt64.max - 1] {
      let proof = InclusionProof(index: index, treeSize: .max, path: path)
      #expect(code { try proof.verify(leaf: .emptyTree, root: .emptyTree) } == .proofMismatch)
      let consistency = ConsistencyProof(oldSize: index, newSize: .max, path: path)
      #expect(code { try consistency.verify(oldRoot: .emptyTree, newRoot: .emptyTree) } == .proofMismatch)
    }
  }

  @Test("proofs for the largest tree are built without a trap")
  func largestTree() throws {
    struct Constant: TileHashReader {
      func tileHashes(level: Int, indices: Range<UInt64>) -> [TreeHash] { Array(repeating: .emptyTree, count: indices.count) }
    }
    let root = try CompactRange(size: .max, reading: Constant()).root
    let inclusion = try InclusionProof(index: .max - 1, treeSize: .max, reading: Constant())
    #expect(try inclusion.root(leaf: .emptyTree) == root)
    let consistency = try ConsistencyProof(oldSize: .max - 1, newSize: .max, reading: Constant())
    try consistency.verify(oldRoot: try Constant().root(size: .max - 1), newRoot: root)
  }
}
