/// The wire types of protobuf.
package enum WireType: UInt8 {
  case varint = 0
  case fixed64 = 1
  /// A length, then that many bytes: text, bytes, a message.
  case bytes = 2
  case fixed32 = 5
}

/// A field of a message: its number and wire type. `Fields` has them by name.
package struct WireField {
  package let number: Int
  package let type: WireType

  @inline(__always)
  package init(_ number: Int, _ type: WireType) {
    self.number = number
    self.type = type
  }

  /// The tag before the value. A field number up to 15 has a tag of 1 byte.
  @inline(__always)
  package var tag: UInt64 { UInt64(number) << 3 | UInt64(type.rawValue) }

  /// The encoded tag of a field number up to 15.
  @inline(__always)
  package var tagByte: UInt8 { UInt8(tag) }

  @inline(__always)
  private var tagBytes: Int { Framing.varintSize(tag) }

  /// Bytes of the encoded field with this value.
  @inline(__always)
  package func byteCount(_ value: UInt64) -> Int {
    switch type {
    case .varint: tagBytes + Framing.varintSize(value)
    case .fixed64: tagBytes + 8
    case .fixed32: tagBytes + 4
    case .bytes: preconditionFailure("a field of bytes has no number")
    }
  }

  /// Bytes of the encoded field with a content of `contentBytes`.
  @inline(__always)
  package func byteCount(contentBytes: Int) -> Int { tagBytes + Framing.varintSize(UInt64(contentBytes)) + contentBytes }
}

/// Writes the fields of a message into memory of a given capacity. Callers compute sizes in advance; a write beyond the capacity traps, so
/// that a wrong size cannot corrupt memory.
package struct WireWriter: ~Copyable {
  private var position: UnsafeMutableRawPointer
  private let start: UnsafeMutableRawPointer
  private let end: UnsafeMutableRawPointer

  @inline(__always)
  package init(_ start: UnsafeMutableRawPointer, capacity: Int) {
    position = start
    self.start = start
    end = start + capacity
  }

  /// Number of bytes written.
  package var byteCount: Int {
    @inline(__always) get { position - start }
  }

  /// Address of the next byte to write.
  package var pointer: UnsafeMutableRawPointer {
    @inline(__always) get { position }
  }

  @inline(__always)
  private mutating func take(_ count: Int) -> UnsafeMutableRawPointer {
    precondition(count <= end - position, "a message is larger than was counted")
    defer { position += count }
    return position
  }

  @inline(__always)
  package mutating func varint(_ value: UInt64) {
    if value < 0x80 { return take(1).storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self) }
    let target = take(Framing.varintSize(value))
    _ = Framing.writeVarint(value, to: target)
  }

  @inline(__always)
  package mutating func raw(_ bytes: UnsafeRawBufferPointer) {
    guard let source = bytes.baseAddress else { return }
    take(bytes.count).copyMemory(from: source, byteCount: bytes.count)
  }

  @inline(__always)
  package mutating func raw(_ bytes: [UInt8]) {
    let target = take(bytes.count)
    bytes.withUnsafeBytes { source in
      guard let base = source.baseAddress else { return }
      target.copyMemory(from: base, byteCount: source.count)
    }
  }

  /// Skips bytes that the caller writes later.
  ///
  /// - Returns: their address.
  @inline(__always)
  package mutating func skip(_ count: Int) -> UnsafeMutableRawPointer { take(count) }

  /// Writes a field with a number.
  @inline(__always)
  package mutating func write(_ field: WireField, _ value: UInt64) {
    varint(field.tag)
    switch field.type {
    case .varint: varint(value)
    case .fixed64: take(8).storeBytes(of: value.littleEndian, as: UInt64.self)
    case .fixed32: take(4).storeBytes(of: UInt32(value).littleEndian, as: UInt32.self)
    case .bytes: preconditionFailure("a field of bytes has no number")
    }
  }

  /// Writes the tag and length of a field of bytes. The caller writes `contentBytes` bytes of content next.
  @inline(__always)
  package mutating func begin(_ field: WireField, contentBytes: Int) {
    precondition(field.type == .bytes)
    varint(field.tag)
    varint(UInt64(contentBytes))
  }

  @inline(__always)
  package mutating func write(_ field: WireField, _ bytes: UnsafeRawBufferPointer) {
    begin(field, contentBytes: bytes.count)
    raw(bytes)
  }

  @inline(__always)
  package mutating func write(_ field: WireField, _ bytes: [UInt8]) {
    begin(field, contentBytes: bytes.count)
    raw(bytes)
  }
}

extension [UInt8] {
  /// The bytes of the fields that `body` writes.
  ///
  /// - Parameter capacity: maximum bytes.
  package init(wireCapacity capacity: Int, _ body: (inout WireWriter) -> Void) {
    self.init(unsafeUninitializedCapacity: capacity) { buffer, count in
      guard let start = buffer.baseAddress else { return }
      var writer = WireWriter(UnsafeMutableRawPointer(start), capacity: capacity)
      body(&writer)
      count = writer.byteCount
    }
  }
}
