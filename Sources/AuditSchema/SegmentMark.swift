import CAuditDigest

/// The `Commit` that stands before the records that were written and synced with it.
///
/// Its check binds it to one place in one segment: nobody who does not know the segment's nonce can make bytes that pass for a mark.
package struct SegmentMark: Sendable, Equatable {
  /// Size of an encoded mark with its tag and length.
  package static let encodedBytes = 39
  package static let tag: UInt8 = 0x12
  /// An encoded mark starts with its tag, its length and the tag of its first field.
  package static let prefix: [UInt8] = [tag, UInt8(encodedBytes - 2), 0x09]

  package var firstSequence: UInt64
  /// Unix ns, the same in every record of the commit.
  package var receivedAt: UInt64
  /// Number of records.
  package var count: UInt32
  /// Bytes that the records take with their tags and lengths.
  package var bytes: UInt32

  package init(firstSequence: UInt64, receivedAt: UInt64, count: UInt32, bytes: UInt32) {
    self.firstSequence = firstSequence
    self.receivedAt = receivedAt
    self.count = count
    self.bytes = bytes
  }

  /// The check of this mark at `offset` in the segment with `nonce` (16 bytes).
  func check(nonce: [UInt8], offset: UInt64) -> UInt64 {
    withUnsafeTemporaryAllocation(byteCount: 48 + 32, alignment: 8) { memory in
      memory.copyBytes(from: nonce)
      memory.storeBytes(of: offset.littleEndian, toByteOffset: 16, as: UInt64.self)
      memory.storeBytes(of: firstSequence.littleEndian, toByteOffset: 24, as: UInt64.self)
      memory.storeBytes(of: receivedAt.littleEndian, toByteOffset: 32, as: UInt64.self)
      memory.storeBytes(of: count.littleEndian, toByteOffset: 40, as: UInt32.self)
      memory.storeBytes(of: bytes.littleEndian, toByteOffset: 44, as: UInt32.self)
      let digest = (memory.baseAddress! + 48).assumingMemoryBound(to: UInt8.self)
      caudit_sha256(memory.baseAddress, 48, digest)
      return UInt64(littleEndian: memory.load(fromByteOffset: 48, as: UInt64.self))
    }
  }

  /// Writes the mark, made for `offset` in the segment with `nonce`, into the first `encodedBytes` bytes of `target`.
  package func encode(nonce: [UInt8], offset: UInt64, into target: UnsafeMutableRawBufferPointer) {
    target[0] = Self.tag
    target[1] = UInt8(Self.encodedBytes - 2)
    target[2] = 0x09
    target.storeBytes(of: firstSequence.littleEndian, toByteOffset: 3, as: UInt64.self)
    target[11] = 0x11
    target.storeBytes(of: receivedAt.littleEndian, toByteOffset: 12, as: UInt64.self)
    target[20] = 0x1D
    target.storeBytes(of: count.littleEndian, toByteOffset: 21, as: UInt32.self)
    target[25] = 0x25
    target.storeBytes(of: bytes.littleEndian, toByteOffset: 26, as: UInt32.self)
    target[30] = 0x29
    target.storeBytes(of: check(nonce: nonce, offset: offset).littleEndian, toByteOffset: 31, as: UInt64.self)
  }

  /// Reads the mark at the start of `encoded`.
  ///
  /// - Returns: `nil` when these bytes are not a mark that was made for `offset` in the segment with `nonce`.
  package init?(_ encoded: UnsafeRawBufferPointer, nonce: [UInt8], offset: UInt64) {
    guard let (mark, check) = Self.parse(encoded), mark.check(nonce: nonce, offset: offset) == check else { return nil }
    self = mark
  }

  private static func parse(_ encoded: UnsafeRawBufferPointer) -> (SegmentMark, check: UInt64)? {
    var reader = SegmentByteReader(encoded)
    guard reader.length(tag: tag) == encodedBytes - 2,
      let firstSequence = reader.fixed64(tag: 0x09),
      let receivedAt = reader.fixed64(tag: 0x11),
      let count = reader.fixed32(tag: 0x1D),
      let bytes = reader.fixed32(tag: 0x25),
      let check = reader.fixed64(tag: 0x29)
    else { return nil }
    return (SegmentMark(firstSequence: firstSequence, receivedAt: receivedAt, count: count, bytes: bytes), check)
  }
}
