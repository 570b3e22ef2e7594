/// A file of a tiled log (C2SP tlog-tiles): up to 256 hashes of one level, or up to 256 entries.
public struct Tile: Hashable, Sendable, CustomStringConvertible {
  /// What a tile holds.
  public enum Content: Hashable, Sendable {
    /// Roots of subtrees of 256^level leaves each, 32 bytes per root. Levels 0 to 63.
    case hashes(level: Int)
    /// Entries, as an `EntryBundle`.
    case entries
  }

  /// Number of hashes or entries of a full tile.
  public static let fullWidth = 256

  /// Maximum index; enough for 2^63 leaves.
  public static let maxIndex: UInt64 = 1 << 55 - 1

  public let content: Content
  /// Position among the tiles of its level, from 0.
  public let index: UInt64
  /// Number of hashes or entries, 1 to 256. A tile with less than 256 is partial.
  public let width: Int

  /// - Throws: `.malformed` if level, index or width is out of range.
  public init(_ content: Content, index: UInt64, width: Int = fullWidth) throws(EvidenceError) {
    if case .hashes(let level) = content, !(0...63).contains(level) {
      throw EvidenceError(.malformed, "tile: level \(level) is not in 0 to 63")
    }
    guard index <= Tile.maxIndex else { throw EvidenceError(.malformed, "tile: index \(index) is greater than \(Tile.maxIndex)") }
    guard (1...Tile.fullWidth).contains(width) else { throw EvidenceError(.malformed, "tile: width \(width) is not in 1 to 256") }
    self.content = content
    self.index = index
    self.width = width
  }

  public var isFull: Bool { width == Tile.fullWidth }

  /// The tile level of the hashes; 0 for entries.
  public var level: Int {
    if case .hashes(let level) = content { level } else { 0 }
  }

  /// The indices of the tile's hashes in their level, or of its entries.
  public var indices: Range<UInt64> {
    let start = index * UInt64(Tile.fullWidth)
    return start..<(start + UInt64(width))
  }

  /// Whether a tree of `size` leaves has all hashes or entries of the tile. A log must not serve other tiles.
  public func exists(inTreeOf size: UInt64) -> Bool {
    level < 8 && indices.upperBound <= size >> UInt64(8 * level)
  }

  public var description: String { path }
}

// Paths: tile/<L>/<N>[.p/<W>] and tile/entries/<N>[.p/<W>]. N is written in groups of three digits; each group but the last has an x before
// it.
extension Tile {
  /// The path relative to the log's prefix, such as "tile/0/x001/x234/067.p/17".
  public var path: String {
    let kind = if case .hashes(let level) = content { String(level) } else { "entries" }
    var groups = Tile.threeDigits(index % 1000)
    var rest = index / 1000
    while rest > 0 {
      groups = "x" + Tile.threeDigits(rest % 1000) + "/" + groups
      rest /= 1000
    }
    return "tile/\(kind)/\(groups)" + (isFull ? "" : ".p/\(width)")
  }

  /// Parses exactly what `path` returns.
  ///
  /// - Throws: `.malformed`, also for another spelling of the same path.
  public init(path: String) throws(EvidenceError) {
    let malformed = EvidenceError(
      .malformed, "tile: \(EvidenceError.quote(path.utf8)) is not tile/<level or entries>/<index in groups of three>[.p/<width>]")
    let parts = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    guard parts.count >= 3, parts.count <= 10, parts[0].elementsEqual("tile".utf8) else { throw malformed }

    let content: Content
    if parts[1].elementsEqual("entries".utf8) {
      content = .entries
    } else {
      guard let level = UInt64(canonicalDecimal: parts[1]), level <= 63 else { throw malformed }
      content = .hashes(level: Int(level))
    }

    var groups = parts[2...].map { Array($0) }
    var width = Tile.fullWidth
    if groups.count >= 2, groups[groups.count - 2].suffix(2).elementsEqual(".p".utf8) {
      guard let partial = UInt64(canonicalDecimal: groups.removeLast()), partial >= 1, partial < Tile.fullWidth else { throw malformed }
      width = Int(partial)
      groups[groups.count - 1].removeLast(2)
    }

    var index: UInt64 = 0
    for (position, group) in groups.enumerated() {
      let isLast = position == groups.count - 1
      let digits = isLast ? group[...] : group.dropFirst()
      guard isLast || group.first == UInt8(ascii: "x"), digits.count == 3, let value = Tile.value(ofDigits: digits) else { throw malformed }
      // A leading group 000 would be a second spelling.
      guard position > 0 || isLast || value > 0 else { throw malformed }
      index = index * 1000 + value
      guard index <= Tile.maxIndex else { throw malformed }
    }
    try self.init(content, index: index, width: width)
  }

  private static func threeDigits(_ value: UInt64) -> String {
    let digits = String(value)
    return String(repeating: "0", count: 3 - digits.count) + digits
  }

  private static func value(ofDigits digits: ArraySlice<UInt8>) -> UInt64? {
    var value: UInt64 = 0
    for digit in digits {
      guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
      value = value * 10 + UInt64(digit - UInt8(ascii: "0"))
    }
    return value
  }
}
