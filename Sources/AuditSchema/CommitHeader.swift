import CAuditDigest

/// The message `Commit`, written before the records that are written and synced together.
///
/// Its check binds it to one offset in one segment. Only who knows the segment's nonce can make a valid one, so no record content looks
/// like a commit header.
package struct CommitHeader: Sendable, Equatable {
  /// Size of an encoded commit header with its tag and length.
  package static let encodedBytes = 39
  private static let field = Fields.Segment.commits
  /// The first byte of an encoded commit header.
  package static let tag = field.tagByte
  /// The first bytes of an encoded commit header: its tag, its length and the tag of its first field.
  package static let prefix: [UInt8] = [tag, UInt8(encodedBytes - 2), Fields.Commit.firstSequence.tagByte]

  package var firstSequence: UInt64
  /// Receipt time in Unix ns, the same for every record of the commit.
  package var receivedAt: UInt64
  /// Number of records.
  package var count: UInt32
  /// Bytes of the records with their tags and lengths.
  package var bytes: UInt32

  package init(firstSequence: UInt64, receivedAt: UInt64, count: UInt32, bytes: UInt32) {
    self.firstSequence = firstSequence
    self.receivedAt = receivedAt
    self.count = count
    self.bytes = bytes
  }

  /// Computes the check for `offset` (bytes) in the segment with `nonce` (16 bytes).
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

  /// Encodes the commit header for `offset` in the segment with `nonce`, into the first `encodedBytes` bytes of `target`.
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

  /// Decodes the commit header at the start of `encoded`.
  ///
  /// - Returns: `nil` if it is malformed, or was not made for `offset` in the segment with `nonce`.
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
