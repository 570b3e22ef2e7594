import CAuditDigest

/// The first field of a segment file: which records it holds, and what must be known to read and to continue it.
package struct SegmentHeader: Sendable, Equatable {
  package static let format: UInt32 = 1
  package static let tag: UInt8 = 0x1A
  /// Bytes of a header without its state, tag and length included, at most: half of it are the hashes of a tree of 2^64 - 1 records.
  package static let maxBytesWithoutState = 128 + 64 * 32
  /// The largest state that a header can carry.
  package static let maxStateBytes = 64 << 20

  /// Sequence of the first record in the segment.
  package var firstSequence: UInt64
  /// 16 bytes that name the log.
  package var logID: [UInt8]
  /// 16 random bytes that go into the check of every mark of this segment.
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
    var message: [UInt8] = []
    message.reserveCapacity(128 + state.count + tree.count)
    message.append(0x0D)
    message.append(littleEndian: Self.format)
    message.append(0x11)
    message.append(littleEndian: firstSequence)
    message += [0x1A, 16] + logID
    message += [0x22, 16] + nonce
    message.append(0x29)
    message.append(littleEndian: previousReceivedAt)
    message.append(0x31)
    message.append(littleEndian: previousBytes)
    message.append(0x3A)
    message += Framing.delimited(state)
    message.append(0x42)
    message += Framing.delimited(tree)
    if stretch > 0 {
      message.append(0x49)
      message.append(littleEndian: stretch)
    }
    let checksum = message.withUnsafeBytes { caudit_crc32c(0, $0.baseAddress, $0.count) }
    message.append(0x7D)
    message.append(littleEndian: checksum)
    return [Self.tag] + Framing.delimited(message)
  }

  /// How many bytes the header at the start of `bytes` takes with its tag and length; `nil` when there is none. Five bytes are enough.
  package static func encodedBytes(startingWith bytes: UnsafeRawBufferPointer) -> Int? {
    var reader = SegmentByteReader(bytes)
    return reader.length(tag: tag).map { $0 + reader.offset }
  }

  /// Decodes a header, from its tag to its last byte.
  ///
  /// - Returns: `nil` when it is damaged.
  package init?(encoded: UnsafeRawBufferPointer) {
    var field = SegmentByteReader(encoded)
    guard let message = field.content(tag: Self.tag), field.offset == encoded.count else { return nil }
    var reader = SegmentByteReader(message)
    guard reader.fixed32(tag: 0x0D) == Self.format,
      let firstSequence = reader.fixed64(tag: 0x11),
      let logID = reader.content(tag: 0x1A), logID.count == 16,
      let nonce = reader.content(tag: 0x22), nonce.count == 16,
      let previousReceivedAt = reader.fixed64(tag: 0x29),
      let previousBytes = reader.fixed64(tag: 0x31),
      let state = reader.content(tag: 0x3A),
      let tree = reader.content(tag: 0x42), tree.count == 32 * firstSequence.nonzeroBitCount
    else { return nil }
    var stretch: UInt64 = 0
    if reader.offset < message.count, message[reader.offset] == 0x49 {
      guard let begun = reader.fixed64(tag: 0x49), begun > 0, begun <= firstSequence else { return nil }
      stretch = begun
    }
    let checked = reader.offset
    guard let checksum = reader.fixed32(tag: 0x7D), reader.offset == message.count,
      caudit_crc32c(0, message.baseAddress, checked) == checksum
    else { return nil }
    self.init(
      firstSequence: firstSequence, logID: Array(logID), nonce: Array(nonce), previousReceivedAt: previousReceivedAt,
      previousBytes: previousBytes, state: Array(state), tree: Array(tree), stretch: stretch)
  }
}

extension [UInt8] {
  mutating func append<Number: FixedWidthInteger>(littleEndian number: Number) {
    Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
  }
}
