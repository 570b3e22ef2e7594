import MerkleTree
import Testing

/// A tree and the tile levels that a store would write for it, in memory. Checks that it is only asked for what it promises.
final class StoredTree: TileHashReader {
  private(set) var tree = CompactRange()
  private(set) var levels: [[TreeHash]] = []

  init() {}

  /// A tree over the leaves {"seq":0}, {"seq":1}, ...
  init(size: Int) {
    for sequence in 0..<size { append(.leaf(StoredTree.entry(sequence))) }
  }

  static func entry(_ sequence: Int) -> [UInt8] { Array("{\"seq\":\(sequence)}".utf8) }

  func append(_ leaf: TreeHash) {
    tree.append(leaf) { level, index, hash in
      guard level.isMultiple(of: 8) else { return }
      if levels.count == level / 8 { levels.append([]) }
      #expect(levels[level / 8].count == Int(index))
      levels[level / 8].append(hash)
    }
  }

  func tileHashes(level: Int, indices: Range<UInt64>) throws -> [TreeHash] {
    #expect(!indices.isEmpty && indices.count <= 128)
    #expect(indices.lowerBound / 256 == (indices.upperBound - 1) / 256)
    return Array(levels[level][Int(indices.lowerBound)..<Int(indices.upperBound)])
  }

  func hashes(_ tile: Tile) -> [TreeHash] {
    Array(levels[tile.level][Int(tile.indices.lowerBound)..<Int(tile.indices.upperBound)])
  }
}

/// SplitMix64: the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  /// A seed of its own for every run, printed so that a failure can be repeated.
  init(printing test: String) {
    state = UInt64.random(in: 0...UInt64.max)
    print("\(test): seed \(state)")
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// The code of the error that `body` throws; nil when it throws none.
func code(_ body: () throws -> Void) -> EvidenceError.Code? {
  do { try body() } catch { return (error as? EvidenceError)?.code }
  return nil
}
