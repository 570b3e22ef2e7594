/// The tiles of one level of a tree: full tiles, and at most one partial tile after them.
public struct TileLevel: Hashable, Sendable {
  /// The tile level, from 0.
  public let level: Int
  /// Number of full tiles.
  public let fullTiles: UInt64
  /// Number of hashes in the partial tile, 0 to 255; 0 means no partial tile.
  public let partialWidth: Int

  /// The levels of a tree of `size` leaves, from level 0 up; none for the empty tree.
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

  /// The tile at `index`, full or partial; `nil` after the last.
  public func tile(at index: UInt64) -> Tile? {
    if index < fullTiles { return try? Tile(.hashes(level: level), index: index) }
    return index == fullTiles && partialWidth > 0 ? try? Tile(.hashes(level: level), index: index, width: partialWidth) : nil
  }
}
