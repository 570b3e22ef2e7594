/// Reads the fields of an encoded message in place.
///
/// For bytes that the log encoded itself, or that `check` has passed. It ends at the first malformed field; see `isAtEnd`.
package struct WireReader {
  package struct Field {
    package var number: Int
    /// The value of a varint, fixed64 or fixed32.
    package var value: UInt64
    /// The content of a length-delimited field; otherwise empty. A group, which the schema does not use, is skipped as a whole.
    package var bytes: UnsafeRawBufferPointer
    /// Offsets of the field's tag, and of the byte after the field.
    package var start: Int
    package var end: Int
  }

  /// Maximum nesting of groups, as in `caudit_check`.
  private static let maximumGroups = 100

  private let bytes: UnsafeRawBufferPointer
  package private(set) var index = 0

  package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// Whether all bytes were read, so that no field was malformed.
  package var isAtEnd: Bool { index == bytes.count }

  @inline(__always)
  private mutating func varint() -> UInt64? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while index < bytes.count, shift < 64 {
      let byte = bytes[index]
      index += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    return nil
  }

  package mutating func next() -> Field? {
    let start = index
    guard index < bytes.count, let key = varint() else { return nil }
    var field = Field(number: Int(key >> 3), value: 0, bytes: UnsafeRawBufferPointer(start: nil, count: 0), start: start, end: 0)
    switch key & 7 {
    case 0:
      guard let value = varint() else { return nil }
      field.value = value
    case 1:
      guard bytes.count - index >= 8 else { return nil }
      field.value = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
      index += 8
    case 2:
      guard let length = varint(), length <= UInt64(bytes.count - index) else { return nil }
      field.bytes = UnsafeRawBufferPointer(rebasing: bytes[index..<index + Int(length)])
      index += Int(length)
    case 5:
      guard bytes.count - index >= 4 else { return nil }
      field.value = UInt64(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt32.self)))
      index += 4
    case 3:
      guard skipGroup(field.number) else { return nil }
    default: return nil
    }
    field.end = index
    return field
  }

  /// Skips the rest of a group, with nested groups.
  private mutating func skipGroup(_ number: Int) -> Bool {
    var open = [number]
    while let last = open.last {
      guard open.count <= Self.maximumGroups, index < bytes.count, let key = varint() else { return false }
      switch key & 7 {
      case 0: guard varint() != nil else { return false }
      case 1, 5:
        index += key & 7 == 1 ? 8 : 4
        guard index <= bytes.count else { return false }
      case 2:
        guard let length = varint(), length <= UInt64(bytes.count - index) else { return false }
        index += Int(length)
      case 3: open.append(Int(key >> 3))
      case 4:
        guard last == Int(key >> 3) else { return false }
        open.removeLast()
      default: return false
      }
    }
    return true
  }
}
