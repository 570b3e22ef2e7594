import CAuditDigest

/// The outline of a `Record` in a segment: what a store needs to know. The rest of the record is opaque to the store.
///
/// A record is its tag, its length, the header (which begins with sequence and time), the body (zeros of the same length if it is erased),
/// and the checksum. Any other form is refused.
package struct RecordFraming: Sendable, Equatable {
  /// The first byte of a record.
  package static let tag = Fields.Segment.records.tagByte
  /// Number of bytes at the start of a record that `init` needs.
  package static let headBytes = 28
  /// Bytes of the checksum with its tag.
  static let checksumBytes = 5
  /// The tags of the body, and of the zeros that replace an erased body.
  package static let bodyTag = Fields.Record.body.tagByte
  package static let erasedTag = Fields.Record.erased.tagByte

  /// Size of the record with its tag and length.
  package let totalBytes: Int
  /// Range of the encoded header, which is the leaf of the tree, relative to the record's tag.
  package let header: Range<Int>
  package let sequence: UInt64
  /// Unix ns.
  package let receivedAt: UInt64
  /// Number of bytes of the record's tag and length.
  package let contentStart: Int

  /// Decodes the head of the record at the start of `bytes`. The rest of the record need not be there.
  ///
  /// - Returns: `nil` for malformed bytes, or fewer than `headBytes`.
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

  /// Overwrites the body with zeros and recomputes the checksum. Also completes a partial erasure.
  ///
  /// - Parameter record: a copy of the whole record.
  /// - Returns: `false` if the record is malformed.
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

  /// Whether the body matches the hash in the header, or is erased. The record must be intact.
  package func hasItsBody(in bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes[header.upperBound] != Self.erasedTag else { return true }
    var field = CanonicalReader(UnsafeRawBufferPointer(rebasing: bytes[header.upperBound..<totalBytes]))
    guard let body = field.content(Fields.Record.body) else { return false }
    let hash = RecordHeaderBytes(UnsafeRawBufferPointer(rebasing: bytes[header])).bodySHA256
    // A record written by other software may have no hash.
    return hash.isEmpty || SHA256.hash(body).elementsEqual(hash)
  }

  /// Whether the record at the start of `bytes` is complete, well-formed and matches its checksum.
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
