import CAuditDigest

/// Sparse index of a segment, to seek by sequence or time: the first record, then about one record in every `spacingBytes`.
struct SparseIndex: Sendable, Equatable {
  struct Place: Sendable, Equatable {
    var sequence: UInt64
    /// Offset of the record; for the first record of a commit, offset of the commit header.
    var offset: UInt64
    /// Unix ns.
    var receivedAt: UInt64
  }

  /// The segment that an index file was built from. A file with another subject is stale.
  struct Subject: Equatable {
    var firstSequence: UInt64
    var bytes: UInt64
    var nonce: [UInt8]
  }

  private static let magic: [UInt8] = Array("hubaidx1".utf8)
  private static let fixedBytes = 8 + 8 + 8 + 16

  let spacingBytes: UInt64
  private(set) var places: [Place] = []

  init(spacingBytes: UInt64) { self.spacingBytes = spacingBytes }

  /// Adds the next record if it is at least `spacingBytes` after the last place.
  mutating func note(sequence: UInt64, offset: UInt64, receivedAt: UInt64) {
    if let last = places.last, offset - last.offset < spacingBytes { return }
    places.append(Place(sequence: sequence, offset: offset, receivedAt: receivedAt))
  }

  /// The last place at or before `sequence`.
  func place(atOrBefore sequence: UInt64) -> Place? { last { $0.sequence <= sequence } }

  /// The last place whose record was received before `time`.
  func place(receivedBefore time: UInt64) -> Place? { last { $0.receivedAt < time } }

  private func last(where isBefore: (Place) -> Bool) -> Place? {
    var low = 0
    var high = places.count
    while low < high {
      let middle = (low + high) / 2
      if isBefore(places[middle]) { low = middle + 1 } else { high = middle }
    }
    return low == 0 ? nil : places[low - 1]
  }

  func encoded(of subject: Subject) -> [UInt8] {
    var out = Self.magic
    out.reserveCapacity(Self.fixedBytes + places.count * 24 + 4)
    func add<Number: FixedWidthInteger>(_ number: Number) { withUnsafeBytes(of: number.littleEndian) { out.append(contentsOf: $0) } }
    add(subject.firstSequence)
    add(subject.bytes)
    out += subject.nonce
    for place in places {
      add(place.sequence)
      add(place.offset)
      add(place.receivedAt)
    }
    add(out.withUnsafeBytes { caudit_crc32c(0, $0.baseAddress, $0.count) })
    return out
  }

  /// - Returns: `nil` when the bytes are damaged, or are the index of another subject.
  init?(encoded: [UInt8], of subject: Subject, spacingBytes: UInt64) {
    self.init(spacingBytes: spacingBytes)
    let count = encoded.count - Self.fixedBytes - 4
    guard count >= 0, count % 24 == 0 else { return nil }
    let places: [Place]? = encoded.withUnsafeBytes { bytes in
      func number(_ offset: Int) -> UInt64 { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
      let checksum = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: bytes.count - 4, as: UInt32.self))
      let found = Subject(firstSequence: number(8), bytes: number(16), nonce: Array(bytes[24..<40]))
      guard bytes.prefix(8).elementsEqual(Self.magic), found == subject,
        caudit_crc32c(0, bytes.baseAddress, bytes.count - 4) == checksum
      else { return nil }
      return stride(from: Self.fixedBytes, to: bytes.count - 4, by: 24).map {
        Place(sequence: number($0), offset: number($0 + 8), receivedAt: number($0 + 16))
      }
    }
    guard let places else { return nil }
    self.places = places
  }
}
