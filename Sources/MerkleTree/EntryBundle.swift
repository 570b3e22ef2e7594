/// The content of an entries tile: for each entry its length, two bytes in big-endian order, and its bytes.
public enum EntryBundle {
  /// Longest entry in bytes.
  public static let maxEntryBytes = Int(UInt16.max)

  /// Adds an entry at the end of a bundle.
  ///
  /// - Throws: `.outOfRange` when the entry is longer than 65,535 bytes.
  public static func append(_ entry: some Collection<UInt8>, to bundle: inout [UInt8]) throws(EvidenceError) {
    guard let length = UInt16(exactly: entry.count) else {
      throw EvidenceError(.outOfRange, "entry bundle: an entry of \(entry.count) bytes is longer than \(maxEntryBytes)")
    }
    bundle.append(UInt8(length >> 8))
    bundle.append(UInt8(length & 0xFF))
    bundle.append(contentsOf: entry)
  }

  /// The entries of a bundle. The leaf hash of each is what the tile of level 0 with the same index has at the same place.
  ///
  /// - Parameter width: number of entries that the tile's path promises.
  /// - Throws: `.malformed` when the bundle does not hold that many, whole, and nothing else.
  public static func entries(in bundle: [UInt8], width: Int) throws(EvidenceError) -> [ArraySlice<UInt8>] {
    var entries: [ArraySlice<UInt8>] = []
    var rest = bundle[...]
    while !rest.isEmpty {
      let offset = rest.startIndex
      guard rest.count >= 2 else {
        throw EvidenceError(.malformed, "entry bundle: entry \(entries.count) at offset \(offset) ends within its length")
      }
      let length = Int(rest[offset]) << 8 | Int(rest[offset + 1])
      guard rest.count >= 2 + length else {
        throw EvidenceError(
          .malformed, "entry bundle: entry \(entries.count) at offset \(offset) has \(length) bytes, only \(rest.count - 2) are left")
      }
      entries.append(rest[(offset + 2)..<(offset + 2 + length)])
      rest = rest.dropFirst(2 + length)
    }
    guard entries.count == width else {
      throw EvidenceError(.malformed, "entry bundle: \(entries.count) entries where \(width) are due")
    }
    return entries
  }
}
