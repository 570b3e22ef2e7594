import MerkleTree
import Testing

struct TreeTests {
  @Test("the roots of the RFC 6962 reference leaves are the published ones")
  func referenceRoots() throws {
    let leaves: [[UInt8]] = [
      [], [0x00], [0x10], [0x20, 0x21], [0x30, 0x31], [0x40, 0x41, 0x42, 0x43], Array(0x50...0x57), Array(0x60...0x6F),
    ]
    let roots = [
      "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
      "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
      "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
      "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
      "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    var tree = CompactRange()
    #expect(tree.root.base64 == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
    for (leaf, root) in zip(leaves, roots) {
      tree.append(.leaf(leaf))
      #expect(tree.root.hex == root)
    }
  }

  @Test("the roots over numbered leaves are those that other implementations found")
  func numberedRoots() throws {
    let roots = [
      1: "pAKw429aroVFc2D88AolRbh91H8xBVPnsNMtbQrEQA0=", 2: "/FLXGjaKeY/Zbsflt+5fj5/dEMf/mrFGxOrB5qChsQo=",
      256: "seEZrOo8AgMvfp4xtjKwHzWwoh0carRqr3DlKeWyNcc=", 257: "PGbXf4xtvtpwT4OmeDlDIwP7bgE4V0agSOWlZaBly/Y=",
      65536: "7Q2/VjE8RSqmrRia4AcGspTDQQn8L7pHyYCZ44YtcQ8=", 70000: "Setbsr+kDfnOsfkN53+XtlnD6O006VHSKx5qKVKBi8w=",
    ]
    let stored = StoredTree()
    var found = 0
    for sequence in 0..<70000 {
      stored.append(.leaf(StoredTree.entry(sequence)))
      guard let root = roots[sequence + 1] else { continue }
      found += 1
      #expect(stored.tree.root.base64 == root)
      #expect(try stored.root(size: UInt64(sequence + 1)).base64 == root)
    }
    #expect(found == roots.count)
    // Also from the tiles of the larger tree.
    for (size, root) in roots { #expect(try stored.root(size: UInt64(size)).base64 == root) }
  }

  @Test("at every size up to 1,100 the root is the definition's, grown or read from tiles, and so are proofs")
  func everySize() throws {
    let stored = StoredTree(size: 1100)
    let naive = NaiveTree(leaves: stored.levels[0])
    var tree = CompactRange()
    for size in 1...1100 {
      tree.append(naive.leaves[size - 1])
      let root = naive.root(0..<size)
      #expect(tree.root == root)
      #expect(try CompactRange(size: UInt64(size), reading: stored) == tree)
      for index in Set([0, 1, size / 3, size / 2, 255, 256, size - 2, size - 1]) where (0..<size).contains(index) {
        let proof = try InclusionProof(index: UInt64(index), treeSize: UInt64(size), reading: stored)
        #expect(proof.path == naive.path(index, 0..<size))
        #expect(throws: Never.self) { try proof.verify(leaf: naive.leaves[index], root: root) }
      }
    }
  }

  @Test("leaves that come many at a time make the tree, and complete the subtrees, that they make one by one")
  func manyLeaves() throws {
    var random = SeededGenerator(printing: "leaves many at a time")
    for _ in 0..<200 {
      var one = CompactRange()
      var many = CompactRange()
      var levels: [[TreeHash]] = Array(repeating: [], count: 16)
      var expected = levels
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        let leaves = (0..<Int.random(in: 0...300, using: &random)).map { _ in TreeHash.leaf([UInt8.random(in: 0...255, using: &random)]) }
        for leaf in leaves { one.append(leaf) { level, _, hash in expected[level].append(hash) } }
        many.append(contentsOf: leaves) { level, index, hashes in
          #expect(index == UInt64(levels[level].count) && !hashes.isEmpty)
          levels[level] += hashes
        }
        #expect(many == one && levels == expected)
      }
    }
  }

  @Test("two leaves that are hashed together have the hashes that each has alone, whatever their lengths")
  func twoLeaves() {
    let bytes = (0..<1200).map { UInt8(truncatingIfNeeded: $0 * 7) }
    for length in [0, 1, 50, 54, 55, 56, 63, 64, 105, 118, 119, 120, 500, 502, 503, 504, 505, 511, 512, 1100] {
      for other in max(0, length - 3)...length + 3 {
        let (one, two) = (Array(bytes[..<length]), Array(bytes[(1200 - other)...]))
        let together = one.withUnsafeBytes { one in two.withUnsafeBytes { TreeHash.leaves(one, $0) } }
        #expect(together == (.leaf(one), .leaf(two)), "\(length) and \(other) bytes")
      }
    }
  }

  @Test("every inclusion proof of the sizes around powers of two is the definition's")
  func everyIndex() throws {
    let stored = StoredTree(size: 514)
    let naive = NaiveTree(leaves: stored.levels[0])
    for size in Array(1...34) + [127, 128, 129, 255, 256, 257, 513] {
      for index in 0..<size {
        let proof = try InclusionProof(index: UInt64(index), treeSize: UInt64(size), reading: stored)
        #expect(proof.path == naive.path(index, 0..<size))
        #expect(throws: Never.self) { try proof.verify(leaf: naive.leaves[index], root: naive.root(0..<size)) }
      }
    }
  }

  @Test("every consistency proof between sizes up to 70 is the definition's")
  func everyPair() throws {
    let stored = StoredTree(size: 70)
    let naive = NaiveTree(leaves: stored.levels[0])
    for new in 0...70 {
      for old in 0...new {
        let proof = try ConsistencyProof(oldSize: UInt64(old), newSize: UInt64(new), reading: stored)
        #expect(proof.path == naive.proof(old, new))
        #expect(throws: Never.self) { try proof.verify(oldRoot: naive.root(0..<old), newRoot: naive.root(0..<new)) }
      }
    }
  }

  @Test("proofs at random places of large trees are the definition's")
  func largeTrees() throws {
    var random = SeededGenerator(printing: "proofs at random places")
    let stored = StoredTree(size: 70000)
    let naive = NaiveTree(leaves: stored.levels[0])
    for _ in 0..<12 {
      let new = Int.random(in: 1...70000, using: &random)
      let old = Int.random(in: 0...new, using: &random)
      let index = Int.random(in: 0..<new, using: &random)
      let root = naive.root(0..<new)
      let inclusion = try InclusionProof(index: UInt64(index), treeSize: UInt64(new), reading: stored)
      #expect(inclusion.path == naive.path(index, 0..<new))
      #expect(throws: Never.self) { try inclusion.verify(leaf: naive.leaves[index], root: root) }
      let consistency = try ConsistencyProof(oldSize: UInt64(old), newSize: UInt64(new), reading: stored)
      #expect(consistency.path == naive.proof(old, new))
      #expect(throws: Never.self) { try consistency.verify(oldRoot: naive.root(0..<old), newRoot: root) }
    }
  }

  @Test("a tree continues from its state, and a state that does not fit its size is refused")
  func state() throws {
    var tree = CompactRange()
    for sequence in 0..<300 {
      var copy = try CompactRange(encoded: tree.encoded)
      #expect(copy == tree)
      let leaf = TreeHash.leaf(StoredTree.entry(sequence))
      tree.append(leaf)
      copy.append(leaf)
      #expect(copy.root == tree.root)
    }
    let encoded = tree.encoded
    #expect(code { _ = try CompactRange(encoded: []) } == .malformed)
    #expect(code { _ = try CompactRange(encoded: encoded.dropLast()) } == .malformed)
    #expect(code { _ = try CompactRange(encoded: encoded + [0]) } == .malformed)
    #expect(code { _ = try CompactRange(encoded: Array(encoded[..<7]) + [encoded[7] ^ 1] + encoded[8...]) } == .malformed)
    #expect(code { _ = try CompactRange(size: 3, hashes: [.emptyTree]) } == .malformed)
  }

  @Test("a reader that lacks hashes makes an error, not a wrong root")
  func missingHashes() {
    struct Empty: TileHashReader {
      func tileHashes(level: Int, indices: Range<UInt64>) -> [TreeHash] { [] }
    }
    #expect(code { _ = try Empty().root(size: 5) } == .unavailable)
    #expect(code { _ = try InclusionProof(index: 0, treeSize: 5, reading: Empty()) } == .unavailable)
  }

  @Test("an append hands over each full subtree once, the leaf first")
  func completed() {
    var tree = CompactRange()
    var seen: [[UInt64]] = []
    for sequence in 0..<4 { tree.append(.leaf(StoredTree.entry(sequence))) { level, index, _ in seen.append([UInt64(level), index]) } }
    #expect(seen == [[0, 0], [0, 1], [1, 0], [0, 2], [0, 3], [1, 1], [2, 0]])
  }

  @Test("a hash is read from its own spelling only")
  func spellings() throws {
    let hash = TreeHash.emptyTree
    #expect(TreeHash(hex: hash.hex) == hash)
    #expect(TreeHash(base64: hash.base64) == hash)
    #expect(TreeHash(hash.bytes) == hash)
    #expect(hash.hex == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    #expect(TreeHash(hex: hash.hex.uppercased()) == nil)
    #expect(TreeHash(hex: String(hash.hex.dropLast(2))) == nil)
    #expect(TreeHash(hash.bytes + [0]) == nil)
    // The last character of the group has bits that no byte takes.
    #expect(TreeHash(base64: hash.base64.replacing("uFU=", with: "uFV=")) == nil)
    #expect(TreeHash(base64: String(hash.base64.dropLast())) == nil)
    #expect(TreeHash(base64: hash.base64.replacing("/", with: "_")) == nil)
    #expect(TreeHash(base64: hash.base64 + "\n") == nil)
  }
}
