import CAuditDigest

/// Where a `Record` lies in a stretch of a segment, and what a store must know of it: everything else in it is opaque there.
///
/// A record is its tag, its length, the header (which begins with sequence and time), the body or as many zeros where it was erased, and
/// the checksum; any other shape is refused.
package struct RecordFraming: Sendable, Equatable {
  /// The first byte of a record.
  package static let tag = Fields.Segment.records.tagByte
  /// The bytes at a record's start that `init` has to see.
  package static let headBytes = 28
  /// Bytes of the checksum with its tag.
  static let checksumBytes = 5
  /// Tags of the body, and of the zeros in its place.
  package static let bodyTag = Fields.Record.body.tagByte
  package static let erasedTag = Fields.Record.erased.tagByte

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
    var reader = CanonicalReader(bytes)
    guard let contentBytes = reader.length(Fields.Segment.records) else { return nil }
    contentStart = reader.offset
    totalBytes = contentStart + contentBytes
    guard let headerBytes = reader.length(Fields.Record.header) else { return nil }
    header = reader.offset..<reader.offset + headerBytes
    guard let sequence = reader.fixed64(Fields.RecordHeader.sequence), let receivedAt = reader.fixed64(Fields.RecordHeader.receivedAt),
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
      var reader = CanonicalReader(UnsafeRawBufferPointer(rebasing: bytes[header.upperBound..<checksumStart]))
      guard let content = reader.content(Fields.Record.erased), reader.offset == checksumStart - header.upperBound else { return false }
      UnsafeMutableRawBufferPointer(rebasing: bytes[checksumStart - content.count..<checksumStart]).initializeMemory(
        as: UInt8.self, repeating: 0)
      bytes[checksumStart] = Fields.Record.crc32c.tagByte
      let checksum = caudit_crc32c(0, bytes.baseAddress! + contentStart, checksumStart - contentStart)
      bytes.storeBytes(of: checksum.littleEndian, toByteOffset: checksumStart + 1, as: UInt32.self)
      return true
    }
  }

  /// Whether the body of a record that is intact is the one that its header was made for; also when zeros take its place.
  package func hasItsBody(in bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes[header.upperBound] != Self.erasedTag else { return true }
    var field = CanonicalReader(UnsafeRawBufferPointer(rebasing: bytes[header.upperBound..<totalBytes]))
    guard let body = field.content(Fields.Record.body) else { return false }
    let hash = RecordHeaderBytes(UnsafeRawBufferPointer(rebasing: bytes[header])).bodySHA256
    // A record of another maker may have no hash.
    return hash.isEmpty || SHA256.hash(body).elementsEqual(hash)
  }

  /// Whether the record, which begins at the start of `bytes` and is all there, has the one shape and the checksum of its bytes.
  package func isIntact(in bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count >= totalBytes else { return false }
    let checksumStart = totalBytes - Self.checksumBytes
    if header.upperBound < checksumStart {
      var reader = CanonicalReader(UnsafeRawBufferPointer(rebasing: bytes[header.upperBound..<checksumStart]))
      if bytes[header.upperBound] == Self.erasedTag {
        guard let erased = reader.content(Fields.Record.erased), erased.allSatisfy({ $0 == 0 }) else { return false }
      } else if reader.content(Fields.Record.body) == nil {
        return false
      }
      guard reader.offset == checksumStart - header.upperBound else { return false }
    }
    guard bytes[checksumStart] == Fields.Record.crc32c.tagByte else { return false }
    let stored = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: checksumStart + 1, as: UInt32.self))
    return caudit_crc32c(0, bytes.baseAddress! + contentStart, checksumStart - contentStart) == stored
  }
}
