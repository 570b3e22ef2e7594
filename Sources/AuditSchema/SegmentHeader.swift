import CAuditDigest

/// The first field of a segment file: which records it holds, and what must be known to read and to continue it.
package struct SegmentHeader: Sendable, Equatable {
  package static let format: UInt32 = 1
  static let field = Fields.Segment.header
  /// Bytes of a header without its state, tag and length included, at most: half of it are the hashes of a tree of 2^64 - 1 records.
  package static let maxBytesWithoutState = 128 + 64 * 32
  /// The largest state that a header can carry.
  package static let maxStateBytes = 64 << 20

  /// Sequence of the first record in the segment.
  package var firstSequence: UInt64
  /// 16 bytes that name the log.
  package var logID: [UInt8]
  /// 16 random bytes that go into the check of every commit header of this segment.
  package var nonce: [UInt8]
  /// `received_at` of the last record before the segment, Unix ns; 0 in the first one.
  package var previousReceivedAt: UInt64
  /// Size of the segment before this one; 0 in the first one.
  package var previousBytes: UInt64
  /// An encoded `SequencerState`, as of the segment's start.
  package var state: [UInt8]
  /// The Merkle tree over all records before the segment: the roots of its full subtrees, 32 bytes for each bit set in `firstSequence`.
  package var tree: [UInt8]
  /// The sequence with which the stretch of time began that the segment belongs to.
  package var stretch: UInt64

  /// Whether the clock had been set back before this segment: its times need not be after `previousReceivedAt`.
  package var beginsStretch: Bool { stretch > 0 && stretch == firstSequence }
  /// Every time in the segment is after this one.
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

  /// The field as it stands in the file, with its tag and length.
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

  /// How many bytes the header at the start of `bytes` takes with its tag and length; `nil` when there is none. Five bytes are enough.
  package static func encodedBytes(startingWith bytes: UnsafeRawBufferPointer) -> Int? {
    var reader = CanonicalReader(bytes)
    return reader.length(field).map { $0 + reader.offset }
  }

  /// Decodes a header, from its tag to its last byte.
  ///
  /// - Returns: `nil` when it is damaged.
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
