import Foundation
import MerkleTree

/// A log in memory that signs checkpoints of itself, and whatever else it is asked to.
final class SignedLog: TileHashReader, @unchecked Sendable {
  let key: SignerKey
  private var tree = CompactRange()
  private var levels: [[TreeHash]] = []
  private var roots: [TreeHash] = [.emptyTree]

  /// - Parameters:
  ///   - fork: from this leaf on, the leaves are others than those of a log without one.
  init(_ origin: String = "log.example/one", size: Int = 600, fork: Int = .max, key: SignerKey? = nil) throws {
    self.key = try key ?? SignerKey.generate(name: origin, kind: .ed25519)
    for index in 0..<size { append(.leaf(Array("\(index >= fork ? "forked " : "")\(index)".utf8))) }
  }

  private func append(_ leaf: TreeHash) {
    tree.append(leaf) { level, _, hash in
      guard level.isMultiple(of: 8) else { return }
      if levels.count == level / 8 { levels.append([]) }
      levels[level / 8].append(hash)
    }
    roots.append(tree.root)
  }

  func tileHashes(level: Int, indices: Range<UInt64>) throws -> [TreeHash] {
    Array(levels[level][Int(indices.lowerBound)..<Int(indices.upperBound)])
  }

  func checkpoint(_ size: Int, signedBy keys: [SignerKey]? = nil) throws -> SignedCheckpoint {
    try SignedCheckpoint(
      Checkpoint(origin: key.verifier.name, size: UInt64(size), root: roots[size]), signedBy: keys ?? [key])
  }

  func path(from oldSize: Int, to size: Int) throws -> [TreeHash] {
    try ConsistencyProof(oldSize: UInt64(oldSize), newSize: UInt64(size), reading: self).path
  }

  /// The body of an honest request.
  func request(from oldSize: Int, to size: Int) throws -> [UInt8] {
    request(old: oldSize, path: try path(from: oldSize, to: size), try checkpoint(size))
  }

  /// The body of any request.
  func request(old: Int, path: [TreeHash] = [], _ checkpoint: SignedCheckpoint) -> [UInt8] {
    Array("old \(old)\n\(path.map { $0.base64 + "\n" }.joined())\n\(checkpoint)".utf8)
  }
}

/// A directory that goes with its holder.
final class TemporaryDirectory {
  let path = FileManager.default.temporaryDirectory.appending(path: "hubaudit-\(UUID().uuidString)").path

  deinit { try? FileManager.default.removeItem(atPath: path) }
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
