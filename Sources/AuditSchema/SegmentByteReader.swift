/// Reads the fixed shapes of a segment file in place, in their canonical form only: a number in more bytes than it needs is refused.
///
/// Every method returns `nil` when the bytes are not what was asked for; the reader is of no more use then.
struct SegmentByteReader {
  /// Lengths in a segment take four bytes at most.
  static let maxLength = 1 << 28 - 1

  private let bytes: UnsafeRawBufferPointer
  private(set) var offset = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  mutating func expect(_ byte: UInt8) -> Bool {
    guard offset < bytes.count, bytes[offset] == byte else { return false }
    offset += 1
    return true
  }

  mutating func fixed32(tag: UInt8) -> UInt32? {
    guard expect(tag), bytes.count - offset >= 4 else { return nil }
    defer { offset += 4 }
    return UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  mutating func fixed64(tag: UInt8) -> UInt64? {
    guard expect(tag), bytes.count - offset >= 8 else { return nil }
    defer { offset += 8 }
    return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  mutating func length(tag: UInt8) -> Int? {
    guard expect(tag) else { return nil }
    var value = 0
    var shift = 0
    while offset < bytes.count, shift < 28 {
      let byte = bytes[offset]
      offset += 1
      value |= Int(byte & 0x7F) << shift
      if byte < 0x80 { return byte == 0 && shift > 0 ? nil : value }
      shift += 7
    }
    return nil
  }

  mutating func content(tag: UInt8) -> UnsafeRawBufferPointer? {
    guard let count = length(tag: tag), count <= bytes.count - offset else { return nil }
    defer { offset += count }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
  }
}
