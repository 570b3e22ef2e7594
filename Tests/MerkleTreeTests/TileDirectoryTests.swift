import Foundation
import MerkleTree
import Testing

/// Writes logs as a tiled log serves them, for Tests/Conformance/evidence to check with other people's software.
struct TileDirectoryTests {
  private static let directory = ProcessInfo.processInfo.environment["HUBAUDIT_EVIDENCE_DIRECTORY"]

  @Test(
    "logs of the sizes where tiles begin and end are written for other verifiers",
    .enabled(if: directory != nil, "set HUBAUDIT_EVIDENCE_DIRECTORY to write them"),
    arguments: [0, 1, 2, 255, 256, 257, 65535, 65536, 65537])
  func write(size: Int) throws {
    let log = URL(fileURLWithPath: try #require(TileDirectoryTests.directory)).appendingPathComponent(String(size))
    let stored = StoredTree(size: size)
    let key = try SignerKey(
      name: "hubaudit.example/demo", kind: .ed25519, seed: TreeHash.sha256(Array("demo log key".utf8)).bytes)

    for level in TileLevel.levels(ofTreeOf: UInt64(size)) {
      for index in 0...level.fullTiles {
        guard let tile = level.tile(at: index) else { continue }
        try write(stored.hashes(tile).flatMap(\.bytes), to: tile.path, in: log)
        guard level.level == 0 else { continue }
        var bundle: [UInt8] = []
        for sequence in tile.indices { try EntryBundle.append(StoredTree.entry(Int(sequence)), to: &bundle) }
        try write(bundle, to: try Tile(.entries, index: index, width: tile.width).path, in: log)
      }
    }
    let checkpoint = try Checkpoint(origin: key.verifier.name, size: UInt64(size), root: stored.tree.root)
    try write(SignedCheckpoint(checkpoint, signedBy: [key]).bytes, to: "checkpoint", in: log)
  }

  private func write(_ bytes: [UInt8], to path: String, in directory: URL) throws {
    let file = directory.appendingPathComponent(path)
    try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: file)
  }
}
