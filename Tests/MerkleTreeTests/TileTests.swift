import MerkleTree
import Testing

struct TileTests {
  @Test(
    "a tile has one path and the path one tile",
    arguments: [
      ("tile/0/000", 0, 0, 256), ("tile/0/001", 0, 1, 256), ("tile/0/999", 0, 999, 256), ("tile/0/x001/000", 0, 1000, 256),
      ("tile/0/x001/x234/067", 0, 1_234_067, 256), ("tile/0/x001/x000/000", 0, 1_000_000, 256), ("tile/0/x999/999", 0, 999_999, 256),
      ("tile/0/273.p/112", 0, 273, 112), ("tile/1/001.p/17", 1, 1, 17), ("tile/2/000.p/1", 2, 0, 1), ("tile/0/000.p/255", 0, 0, 255),
      ("tile/0/x001/x234/067.p/8", 0, 1_234_067, 8), ("tile/10/000", 10, 0, 256), ("tile/63/000.p/1", 63, 0, 1),
      ("tile/entries/000", -1, 0, 256), ("tile/entries/x003/123.p/99", -1, 3123, 99), ("tile/7/005", 7, 5, 256),
      ("tile/0/x036/x028/x797/x018/x963/967", 0, 36_028_797_018_963_967, 256),
    ] as [(String, Int, UInt64, Int)])
  func paths(_ path: String, level: Int, index: UInt64, width: Int) throws {
    let tile = try Tile(level < 0 ? .entries : .hashes(level: level), index: index, width: width)
    #expect(tile.path == path)
    #expect(try Tile(path: path) == tile)
  }

  @Test(
    "another spelling of a path is refused",
    arguments: [
      "", "tile", "tile/0", "tile/0/", "/tile/0/000", "tile/0/000/", "tile//000", "tiles/0/000", "Tile/0/000", "tile/00/000", "tile/01/000",
      "tile/64/000", "tile/-1/000", "tile/+1/000", "tile/a/000", "tile/8/0/000", "tile/0/0", "tile/0/00", "tile/0/0000", "tile/0/x000",
      "tile/0/x000/000", "tile/0/x000/x001/000", "tile/0/001/000", "tile/0/x001", "tile/0/x1/000", "tile/0/x001/x000", "tile/0/x001/00",
      "tile/0/X001/000", "tile/0/000.p", "tile/0/000.p/", "tile/0/000.p/0", "tile/0/000.p/01", "tile/0/000.p/256", "tile/0/000.p/1000",
      "tile/0/000.p/-1", "tile/0/000.p/1/", "tile/0/000.p/1/1", "tile/0/000/1", "tile/0/000.q/1", "tile/0/.p/1", "tile/0/x001.p/000.p/1",
      "tile/0/000p/1", "tile/0/ 00", "tile/0/0 0", "tile/0/000 ", "tile/0/000\n", "tile/0/٠٠٠", "tile/entries", "tile/entries/",
      "tile/data/000",
      "tile/entries/0", "tile/0/../000", "tile/0/%300", "tile/0/000?x", "tile/0/x036/x028/x797/x018/x963/968",
      "tile/0/x999/x999/x999/x999/x999/x999/999", "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
      "tile/99999999999999999999/000", "tile/0/000.p/99999999999999999999",
    ])
  func malformed(_ path: String) {
    #expect(code { _ = try Tile(path: path) } == .malformed)
  }

  @Test("a random index comes back from its path")
  func random() throws {
    var random = SeededGenerator(printing: "tile paths")
    for _ in 0..<2000 {
      let index = UInt64.random(in: 0...Tile.maxIndex, using: &random) >> UInt64.random(in: 0..<55, using: &random)
      let tile = try Tile(.hashes(level: .random(in: 0...63, using: &random)), index: index, width: .random(in: 1...256, using: &random))
      #expect(try Tile(path: tile.path) == tile)
    }
  }

  @Test("a tile out of range cannot be made")
  func limits() {
    #expect(code { _ = try Tile(.hashes(level: 64), index: 0) } == .malformed)
    #expect(code { _ = try Tile(.hashes(level: -1), index: 0) } == .malformed)
    #expect(code { _ = try Tile(.entries, index: Tile.maxIndex + 1) } == .malformed)
    #expect(code { _ = try Tile(.entries, index: 0, width: 0) } == .malformed)
    #expect(code { _ = try Tile(.entries, index: 0, width: 257) } == .malformed)
  }

  @Test("a tree has the tiles that the specification counts")
  func levels() {
    func shape(_ size: UInt64) -> [[UInt64]] {
      TileLevel.levels(ofTreeOf: size).map { [UInt64($0.level), $0.fullTiles, UInt64($0.partialWidth)] }
    }
    #expect(shape(0) == [])
    #expect(shape(1) == [[0, 0, 1]])
    #expect(shape(255) == [[0, 0, 255]])
    #expect(shape(256) == [[0, 1, 0], [1, 0, 1]])
    #expect(shape(257) == [[0, 1, 1], [1, 0, 1]])
    #expect(shape(65536) == [[0, 256, 0], [1, 1, 0], [2, 0, 1]])
    #expect(shape(70000) == [[0, 273, 112], [1, 1, 17], [2, 0, 1]])
    #expect(shape(.max).count == 8)
    let level = TileLevel.levels(ofTreeOf: 70000)[0]
    #expect(level.hashes == 70000)
    #expect(level.tile(at: 272)?.path == "tile/0/272")
    #expect(level.tile(at: 273)?.path == "tile/0/273.p/112")
    #expect(level.tile(at: 274) == nil)
    #expect(TileLevel.levels(ofTreeOf: 256)[0].tile(at: 1) == nil)
  }

  @Test(
    "a tile exists when the tree has every hash of it",
    arguments: [
      ("tile/0/000", 255, false), ("tile/0/000", 256, true), ("tile/0/000.p/1", 0, false), ("tile/0/000.p/1", 1, true),
      ("tile/0/000.p/9", 1000, true), ("tile/1/000.p/1", 255, false), ("tile/1/000.p/1", 256, true), ("tile/1/000.p/2", 511, false),
      ("tile/1/001.p/17", 70000, true), ("tile/1/001.p/18", 70000, false), ("tile/2/000.p/1", 65535, false),
      ("tile/2/000.p/1", 65536, true),
      ("tile/entries/273.p/112", 70000, true), ("tile/entries/273.p/113", 70000, false), ("tile/8/000.p/1", UInt64.max, false),
      ("tile/7/000.p/255", UInt64.max, true), ("tile/7/000", UInt64.max, false), ("tile/63/000.p/1", UInt64.max, false),
    ] as [(String, UInt64, Bool)])
  func existence(_ path: String, size: UInt64, exists: Bool) throws {
    #expect(try Tile(path: path).exists(inTreeOf: size) == exists)
  }

  @Test("the hashes of a level above are the roots of the full tiles below")
  func stacked() throws {
    let stored = StoredTree(size: 66000)
    for index: UInt64 in [0, 100, 256] {
      var tree = CompactRange()
      for hash in stored.hashes(try Tile(.hashes(level: 0), index: index)) { tree.append(hash) }
      #expect(tree.root == stored.levels[1][Int(index)])
    }
    #expect(stored.levels.map(\.count) == [66000, 257, 1])
  }

  @Test("a bundle gives back its entries, empty and longest ones too")
  func bundles() throws {
    let entries: [[UInt8]] = [[1, 2, 3], [], Array(repeating: 7, count: 65535), [0]]
    var bundle: [UInt8] = []
    for entry in entries { try EntryBundle.append(entry, to: &bundle) }
    #expect(Array(bundle.prefix(7)) == [0, 3, 1, 2, 3, 0, 0])
    #expect(try EntryBundle.entries(in: bundle, width: 4).map(Array.init) == entries)
    #expect(code { _ = try EntryBundle.entries(in: bundle, width: 3) } == .malformed)
    #expect(code { _ = try EntryBundle.entries(in: bundle.dropLast(), width: 4) } == .malformed)
    #expect(code { _ = try EntryBundle.entries(in: bundle + [0], width: 4) } == .malformed)
    #expect(code { try EntryBundle.append([UInt8](repeating: 0, count: 65536), to: &bundle) } == .outOfRange)
  }
}
