import CAuditDigest

/// The first field of a segment file: the position of its records, and the state needed to read and continue it.
package struct SegmentHeader: Sendable, Equatable {
  package static let format: UInt32 = 1
  static let field = Fields.Segment.header
  /// Maximum bytes of a header without its state, with tag and length. 64 * 32 of them are the hashes of a tree of 2^64 - 1 records.
  package static let maxBytesWithoutState = 128 + 64 * 32
  /// Maximum bytes of the state.
  package static let maxStateBytes = 64 << 20

  /// Sequence of the first record in the segment.
  package var firstSequence: UInt64
  /// The log's id, 16 bytes.
  package var logID: [UInt8]
  /// 16 random bytes that are part of the check of every commit header of this segment.
  package var nonce: [UInt8]
  /// `received_at` of the last record before the segment, in Unix ns; 0 in the first segment.
  package var previousReceivedAt: UInt64
  /// Bytes of the previous segment; 0 in the first segment.
  package var previousBytes: UInt64
  /// The encoded `SequencerState` at the start of the segment.
  package var state: [UInt8]
  /// The Merkle tree over all records before the segment: the roots of its full subtrees, 32 bytes for each set bit of `firstSequence`.
  package var tree: [UInt8]
  /// The first sequence of the segment's stretch. Within a stretch, times never decrease; a clock that is set back begins a new one.
  package var stretch: UInt64

  /// Whether the clock was set back before this segment. Its times may then be before `previousReceivedAt`.
  package var beginsStretch: Bool { stretch > 0 && stretch == firstSequence }
  /// Lower bound of the times in the segment, in Unix ns.
  package var receivedAfter: UInt64 { beginsStretch ? 0 : previousReceivedAt }

  package init(
    firstSequence: UInt64, logID: [UInt8], nonce: [UInt8], previousReceivedAt: UInt64, previousBytes: UInt64, state: [UInt8],
    tree: [UInt8], stretch: UInt64 = 0
  ) {
    self.firstSequence = firstSequence
    self.logID = logID
    self.nonce = nonce
    self.previousReceivedAt = previousReceivedAt
    self.previousBytes = previousBytes
    self.state = state
    self.tree = tree
    self.stretch = stretch
  }

  /// The encoded field, with its tag and length.
  package func encoded() -> [UInt8] {
    precondition(logID.count == 16 && nonce.count == 16 && state.count <= Self.maxStateBytes)
    precondition(tree.count == 32 * firstSequence.nonzeroBitCount)
    typealias Part = Fields.SegmentHeader
    let capacity = Self.maxBytesWithoutState + state.count
    var message = [UInt8](wireCapacity: capacity) { writer in
      writer.write(Part.format, UInt64(Self.format))
      writer.write(Part.firstSequence, firstSequence)
      writer.write(Part.logID, logID)
      writer.write(Part.nonce, nonce)
      writer.write(Part.previousReceivedAt, previousReceivedAt)
      writer.write(Part.previousBytes, previousBytes)
      writer.write(Part.state, state)
      writer.write(Part.tree, tree)
      if stretch > 0 { writer.write(Part.stretch, stretch) }
    }
    message.appendChecksum(Part.crc32c)
    return [Self.field.tagByte] + Framing.delimited(message)
  }

  /// Bytes of the header at the start of `bytes`, with tag and length; `nil` if there is none. Needs only the first 5 bytes.
  package static func encodedBytes(startingWith bytes: UnsafeRawBufferPointer) -> Int? {
    var reader = CanonicalReader(bytes)
    return reader.length(field).map { $0 + reader.offset }
  }

  /// Decodes a whole header, with its tag and length.
  ///
  /// - Returns: `nil` if it is damaged.
  package init?(encoded: UnsafeRawBufferPointer) {
    typealias Part = Fields.SegmentHeader
    var field = CanonicalReader(encoded)
    guard let message = field.content(Self.field), field.offset == encoded.count else { return nil }
    var reader = CanonicalReader(message)
    guard reader.fixed32(Part.format) == Self.format,
      let firstSequence = reader.fixed64(Part.firstSequence),
      let logID = reader.content(Part.logID), logID.count == 16,
      let nonce = reader.content(Part.nonce), nonce.count == 16,
      let previousReceivedAt = reader.fixed64(Part.previousReceivedAt),
      let previousBytes = reader.fixed64(Part.previousBytes),
      let state = reader.content(Part.state),
      let tree = reader.content(Part.tree), tree.count == 32 * firstSequence.nonzeroBitCount
    else { return nil }
    var stretch: UInt64 = 0
    if reader.isAt(Part.stretch) {
      guard let begun = reader.fixed64(Part.stretch), begun > 0, begun <= firstSequence else { return nil }
      stretch = begun
    }
    let checked = reader.offset
    guard let checksum = reader.fixed32(Part.crc32c), reader.offset == message.count,
      caudit_crc32c(0, message.baseAddress, checked) == checksum
    else { return nil }
    self.init(
      firstSequence: firstSequence, logID: Array(logID), nonce: Array(nonce), previousReceivedAt: previousReceivedAt,
      previousBytes: previousBytes, state: Array(state), tree: Array(tree), stretch: stretch)
  }
}

extension [UInt8] {
  /// Appends a field with the CRC-32C of everything before it.
  mutating func appendChecksum(_ field: WireField) {
    let checksum = withUnsafeBytes { caudit_crc32c(0, $0.baseAddress, $0.count) }
    self += [UInt8](wireCapacity: field.byteCount(0)) { $0.write(field, UInt64(checksum)) }
  }
}
