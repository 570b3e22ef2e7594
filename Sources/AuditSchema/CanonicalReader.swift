/// Reads fields in place, and accepts only their canonical form: a varint with more bytes than needed is refused.
///
/// Methods return `nil` if the bytes are not the expected field. The reader must not be used after that.
struct CanonicalReader {
  /// Lengths and numbers have at most 4 bytes.
  static let maxLength = 1 << 28 - 1

  private let bytes: UnsafeRawBufferPointer
  private(set) var offset = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// Whether `field` comes next.
  func isAt(_ field: WireField) -> Bool { offset < bytes.count && bytes[offset] == field.tagByte }

  private mutating func expect(_ field: WireField, _ type: WireType) -> Bool {
    assert(field.type == type)
    guard isAt(field) else { return false }
    offset += 1
    return true
  }

  mutating func fixed32(_ field: WireField) -> UInt32? {
    guard expect(field, .fixed32), bytes.count - offset >= 4 else { return nil }
    defer { offset += 4 }
    return UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  mutating func fixed64(_ field: WireField) -> UInt64? {
    guard expect(field, .fixed64), bytes.count - offset >= 8 else { return nil }
    defer { offset += 8 }
    return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  mutating func varint(_ field: WireField) -> Int? { expect(field, .varint) ? number() : nil }

  /// Reads the tag and length of a field of bytes. Its content comes next.
  mutating func length(_ field: WireField) -> Int? { expect(field, .bytes) ? number() : nil }

  mutating func content(_ field: WireField) -> UnsafeRawBufferPointer? {
    guard let count = length(field), count <= bytes.count - offset else { return nil }
    defer { offset += count }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
  }

  private mutating func number() -> Int? {
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
}
