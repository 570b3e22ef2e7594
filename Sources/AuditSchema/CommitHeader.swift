import CAuditDigest

/// Stands before the records that were written and synced together: the message `Commit`.
///
/// Its check binds it to one place in one segment: nobody who does not know the segment's nonce can make bytes that pass for one.
package struct CommitHeader: Sendable, Equatable {
  /// Size of an encoded commit header with its tag and length.
  package static let encodedBytes = 39
  private static let field = Fields.Segment.commits
  /// The first byte of an encoded commit header.
  package static let tag = field.tagByte
  /// An encoded commit header starts with its tag, its length and the tag of its first field.
  package static let prefix: [UInt8] = [tag, UInt8(encodedBytes - 2), Fields.Commit.firstSequence.tagByte]

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

  /// The check of this commit header at `offset` in the segment with `nonce` (16 bytes).
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

  /// Writes the commit header, made for `offset` in the segment with `nonce`, into the first `encodedBytes` bytes of `target`.
  package func encode(nonce: [UInt8], offset: UInt64, into target: UnsafeMutableRawBufferPointer) {
    var writer = WireWriter(target.baseAddress!, capacity: target.count)
    writer.begin(Self.field, contentBytes: Self.encodedBytes - 2)
    writer.write(Fields.Commit.firstSequence, firstSequence)
    writer.write(Fields.Commit.receivedAt, receivedAt)
    writer.write(Fields.Commit.count, UInt64(count))
    writer.write(Fields.Commit.bytes, UInt64(bytes))
    writer.write(Fields.Commit.check, check(nonce: nonce, offset: offset))
    assert(writer.byteCount == Self.encodedBytes)
  }

  /// Reads the commit header at the start of `encoded`.
  ///
  /// - Returns: `nil` when these bytes are not one that was made for `offset` in the segment with `nonce`.
  package init?(_ encoded: UnsafeRawBufferPointer, nonce: [UInt8], offset: UInt64) {
    guard let (header, check) = Self.parse(encoded), header.check(nonce: nonce, offset: offset) == check else { return nil }
    self = header
  }

  private static func parse(_ encoded: UnsafeRawBufferPointer) -> (CommitHeader, check: UInt64)? {
    var reader = CanonicalReader(encoded)
    guard reader.length(field) == encodedBytes - 2,
      let firstSequence = reader.fixed64(Fields.Commit.firstSequence),
      let receivedAt = reader.fixed64(Fields.Commit.receivedAt),
      let count = reader.fixed32(Fields.Commit.count),
      let bytes = reader.fixed32(Fields.Commit.bytes),
      let check = reader.fixed64(Fields.Commit.check)
    else { return nil }
    return (CommitHeader(firstSequence: firstSequence, receivedAt: receivedAt, count: count, bytes: bytes), check)
  }
}
