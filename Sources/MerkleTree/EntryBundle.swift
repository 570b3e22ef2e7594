/// The content of an entries tile (C2SP tlog-tiles): each entry is its length, 2 bytes big-endian, and then its bytes.
public enum EntryBundle {
  /// Maximum bytes of an entry: 65,535.
  public static let maxEntryBytes = Int(UInt16.max)

  /// Appends an entry to a bundle.
  ///
  /// - Throws: `.outOfRange` if the entry is longer than `maxEntryBytes`.
  public static func append(_ entry: some Collection<UInt8>, to bundle: inout [UInt8]) throws(EvidenceError) {
    guard let length = UInt16(exactly: entry.count) else {
      throw EvidenceError(.outOfRange, "entry bundle: an entry of \(entry.count) bytes is longer than \(maxEntryBytes)")
    }
    bundle.append(UInt8(length >> 8))
    bundle.append(UInt8(length & 0xFF))
    bundle.append(contentsOf: entry)
  }

  /// The entries of a bundle. Entry i hashes to element i of the level-0 tile with the same index.
  ///
  /// - Parameter width: the expected number of entries, from the tile's path.
  /// - Throws: `.malformed` if an entry is cut off, or the number of entries is not `width`.
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
      throw EvidenceError(.malformed, "entry bundle: expected \(width) entries, got \(entries.count)")
    }
    return entries
  }
}
