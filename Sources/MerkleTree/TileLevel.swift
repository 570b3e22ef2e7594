/// The tiles that a tree of some size has at one level: full ones, and at most one partial one after them.
public struct TileLevel: Hashable, Sendable {
  public let level: Int
  public let fullTiles: UInt64
  /// Hashes in the partial tile, 0 to 255; 0 says that there is none.
  public let partialWidth: Int

  /// The levels of a tree of `size` leaves, from 0 up; none for the empty tree.
  public static func levels(ofTreeOf size: UInt64) -> [TileLevel] {
    var levels: [TileLevel] = []
    var hashes = size
    while hashes > 0 {
      levels.append(
        TileLevel(level: levels.count, fullTiles: hashes / UInt64(Tile.fullWidth), partialWidth: Int(hashes % UInt64(Tile.fullWidth))))
      hashes /= UInt64(Tile.fullWidth)
    }
    return levels
  }

  /// Number of hashes at this level.
  public var hashes: UInt64 { fullTiles * UInt64(Tile.fullWidth) + UInt64(partialWidth) }

  /// The tile at `index`, as wide as the tree makes it; nil past the last one.
  public func tile(at index: UInt64) -> Tile? {
    if index < fullTiles { return try? Tile(.hashes(level: level), index: index) }
    return index == fullTiles && partialWidth > 0 ? try? Tile(.hashes(level: level), index: index, width: partialWidth) : nil
  }
}
