/// A filter's query for a search index: for each field of the filter, the hashes of its values. A matching record has one value of each
/// field.
///
/// Equal hashes mean only that values may be equal. So terms can exclude parts of the log, but not identify a record.
///
/// An erased record may have had any agent, channel or task. So it has a special term, which every group of these fields contains: no part
/// of the log with an erased record is excluded by them, and the record is counted as skipped.
public struct SearchTerms: Sendable {
  /// One group per field. A record must have a hash of every group.
  package let groups: [[UInt64]]

  package init(groups: [[UInt64]]) { self.groups = groups }

  /// - Parameter filter: its time bounds are not terms; they select positions.
  package init(_ filter: RecordFilter) {
    func hashes(_ field: FilterField, _ values: [String]) -> [UInt64] {
      let hashes = values.map { value in Array(value.utf8).withUnsafeBytes { Self.hash(field, $0) } }
      return field.isInBody && !values.isEmpty ? hashes + [Self.erased] : hashes
    }
    groups = [
      hashes(.kind, filter.kinds), hashes(.hub, filter.hubs), hashes(.agent, filter.agents), hashes(.channel, filter.channels),
      hashes(.task, filter.tasks),
    ].filter { !$0.isEmpty }
  }

  /// Whether the terms cannot exclude anything.
  package var isEmpty: Bool { groups.isEmpty }

  /// Calls `body` with the hash of every value that a filter may match. For an erased record: the header's values and the special term.
  ///
  /// - Parameter record: a `Record` without tag and length.
  package static func forEach(of record: UnsafeRawBufferPointer, _ body: (UInt64) -> Void) {
    var fields = WireReader(record)
    guard let header = RecordValues.header(&fields) else { return }
    RecordValues.forEach(inHeader: header) {
      body(hash($0, $1))
    } receivedAt: { _ in
      true
    }
    guard let content = RecordValues.body(&fields) else { return body(erased) }
    RecordValues.forEach(inBody: content) { body(hash($0, $1)) }
  }

  /// The special term of erased records.
  private static let erased = hash(.erased, UnsafeRawBufferPointer(start: nil, count: 0))

  /// 64-bit FNV-1a over the field's number and the value, then the finalizer of SplitMix64, since the low bits of FNV-1a are weak.
  package static func hash(_ field: FilterField, _ value: UnsafeRawBufferPointer) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    hash = (hash ^ UInt64(field.rawValue)) &* 0x100_0000_01B3
    for byte in value { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    hash = (hash ^ hash >> 30) &* 0xBF58_476D_1CE4_E5B9
    hash = (hash ^ hash >> 27) &* 0x94D0_49BB_1331_11EB
    return hash ^ hash >> 31
  }
}
