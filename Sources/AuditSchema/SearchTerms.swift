/// What a filter asks a search index: for each field that it names, the hashes of the values of which a record must hold one.
///
/// A hash says nothing but that the values may be equal. So terms can rule a stretch of the log out, and never find a record.
///
/// An erased record may have held any agent, channel and task: it has a term of its own, which stands in each of their groups, so that no
/// stretch with such a record is ruled out by them, and the record is counted.
public struct SearchTerms: Sendable {
  /// ANDed; the hashes within one group are ORed.
  package let groups: [[UInt64]]

  package init(groups: [[UInt64]]) { self.groups = groups }

  /// - Parameter filter: its times are no terms: positions are found by them.
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

  /// Whether nothing can be ruled out.
  package var isEmpty: Bool { groups.isEmpty }

  /// Calls `body` with the hash of every value in a record that a filter may name; of an erased one, the header's and that of erased ones.
  ///
  /// - Parameter record: the bytes of a `Record`, without tag and length.
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

  /// The term of records without a body: of the field that no filter can name, without a value.
  private static let erased = hash(.erased, UnsafeRawBufferPointer(start: nil, count: 0))

  /// FNV-1a (64 bits) over the field's number and the value, then the finalizer of SplitMix64, as the low bits of FNV-1a are weak.
  package static func hash(_ field: FilterField, _ value: UnsafeRawBufferPointer) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    hash = (hash ^ UInt64(field.rawValue)) &* 0x100_0000_01B3
    for byte in value { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    hash = (hash ^ hash >> 30) &* 0xBF58_476D_1CE4_E5B9
    hash = (hash ^ hash >> 27) &* 0x94D0_49BB_1331_11EB
    return hash ^ hash >> 31
  }
}
