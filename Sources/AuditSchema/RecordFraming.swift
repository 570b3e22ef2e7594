import CAuditDigest

/// Where a `Record` lies in a stretch of a segment, and what a store must know of it: everything else in it is opaque there.
///
/// A record is its tag, its length, the header (which begins with sequence and time), the body or as many zeros where it was erased, and
/// the checksum; any other shape is refused.
package struct RecordFraming: Sendable, Equatable {
  package static let tag: UInt8 = 0x0A
  /// The bytes at a record's start that `init` has to see.
  package static let headBytes = 28
  private static let checksumBytes = 5
  /// Tags of the body, and of the zeros in its place.
  package static let bodyTag: UInt8 = 0x12
  package static let erasedTag: UInt8 = 0x22

  /// Size of the record with its tag and length.
  package let totalBytes: Int
  /// Where the header's own bytes lie, counted from the record's tag: the leaf of the tree.
  package let header: Range<Int>
  package let sequence: UInt64
  /// Unix ns.
  package let receivedAt: UInt64
  /// Where the record begins after its tag and length.
  package let contentStart: Int

  /// Reads the head of the record at the start of `bytes`, which need not hold the whole of it.
  ///
  /// - Returns: `nil` when there is no record, or fewer than `headBytes` bytes of one.
  package init?(head bytes: UnsafeRawBufferPointer) {
    var reader = SegmentByteReader(bytes)
    guard let contentBytes = reader.length(tag: Self.tag) else { return nil }
    contentStart = reader.offset
    totalBytes = contentStart + contentBytes
    guard let headerBytes = reader.length(tag: 0x0A) else { return nil }
    header = reader.offset..<reader.offset + headerBytes
    guard let sequence = reader.fixed64(tag: 0x09), let receivedAt = reader.fixed64(tag: 0x11),
      reader.offset <= header.upperBound, header.upperBound + Self.checksumBytes <= totalBytes
    else { return nil }
    self.sequence = sequence
    self.receivedAt = receivedAt
  }

  /// Puts zeros in the place of the body and makes the checksum anew, in a copy of the whole record. Also where that was done in part.
  ///
  /// - Returns: whether it could be done.
  package func erase(in record: inout [UInt8]) -> Bool {
    let checksumStart = totalBytes - Self.checksumBytes
    guard record.count == totalBytes, header.upperBound < checksumStart else { return false }
    let tag = record[header.upperBound]
    guard tag == Self.bodyTag || tag == Self.erasedTag else { return false }
    return record.withUnsafeMutableBytes { bytes in
      bytes[header.upperBound] = Self.erasedTag
      var reader = SegmentByteReader(UnsafeRawBufferPointer(rebasing: bytes[header.upperBound..<checksumStart]))
      guard let content = reader.content(tag: Self.erasedTag), reader.offset == checksumStart - header.upperBound else { return false }
      UnsafeMutableRawBufferPointer(rebasing: bytes[checksumStart - content.count..<checksumStart]).initializeMemory(
        as: UInt8.self, repeating: 0)
      bytes[checksumStart] = 0x1D
      let checksum = caudit_crc32c(0, bytes.baseAddress! + contentStart, checksumStart - contentStart)
      bytes.storeBytes(of: checksum.littleEndian, toByteOffset: checksumStart + 1, as: UInt32.self)
      return true
    }
  }

  /// Whether the body of a record that is intact is the one that its header was made for; also when zeros take its place.
  package func hasItsBody(in bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes[header.upperBound] != Self.erasedTag else { return true }
    var field = SegmentByteReader(UnsafeRawBufferPointer(rebasing: bytes[header.upperBound..<totalBytes]))
    guard let body = field.content(tag: Self.bodyTag) else { return false }
    var parts = WireReader(UnsafeRawBufferPointer(rebasing: bytes[header]))
    while let part = parts.next() {
      if part.number == 8 { return SHA256.hash(body).elementsEqual(part.bytes) }
    }
    // A record of another maker, without a hash.
    return true
  }

  /// Whether the record, which begins at the start of `bytes` and is all there, has the one shape and the checksum of its bytes.
  package func isIntact(in bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count >= totalBytes else { return false }
    let checksumStart = totalBytes - Self.checksumBytes
    if header.upperBound < checksumStart {
      var reader = SegmentByteReader(UnsafeRawBufferPointer(rebasing: bytes[header.upperBound..<checksumStart]))
      if bytes[header.upperBound] == Self.erasedTag {
        guard let erased = reader.content(tag: Self.erasedTag), erased.allSatisfy({ $0 == 0 }) else { return false }
      } else if reader.content(tag: Self.bodyTag) == nil {
        return false
      }
      guard reader.offset == checksumStart - header.upperBound else { return false }
    }
    guard bytes[checksumStart] == 0x1D else { return false }
    let stored = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: checksumStart + 1, as: UInt32.self))
    return caudit_crc32c(0, bytes.baseAddress! + contentStart, checksumStart - contentStart) == stored
  }
}
