/// How protobuf writes a value.
package enum WireType: UInt8 {
  case varint = 0
  case fixed64 = 1
  /// A length, then that many bytes: text, bytes, a message.
  case bytes = 2
  case fixed32 = 5
}

/// A field of a message: its number and how its value is written. `Fields` names them.
package struct WireField {
  package let number: Int
  package let type: WireType

  @inline(__always)
  package init(_ number: Int, _ type: WireType) {
    self.number = number
    self.type = type
  }

  /// What stands before the value. Fields up to 15 have a tag of one byte.
  @inline(__always)
  package var tag: UInt64 { UInt64(number) << 3 | UInt64(type.rawValue) }

  /// The tag of a field up to 15, as it stands in the bytes.
  @inline(__always)
  package var tagByte: UInt8 { UInt8(tag) }

  @inline(__always)
  private var tagBytes: Int { Framing.varintSize(tag) }

  /// Bytes that the field takes with this number as its value.
  @inline(__always)
  package func byteCount(_ value: UInt64) -> Int {
    switch type {
    case .varint: tagBytes + Framing.varintSize(value)
    case .fixed64: tagBytes + 8
    case .fixed32: tagBytes + 4
    case .bytes: preconditionFailure("a field of bytes has no number")
    }
  }

  /// Bytes that the field takes when its content has `contentBytes`.
  @inline(__always)
  package func byteCount(contentBytes: Int) -> Int { tagBytes + Framing.varintSize(UInt64(contentBytes)) + contentBytes }
}

/// Writes the fields of a message, one behind the other, into memory whose size it knows. What does not fit ends the process: sizes are
/// counted before they are written, and a mistake there must not overrun the memory.
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

  /// Bytes that were written.
  package var byteCount: Int {
    @inline(__always) get { position - start }
  }

  /// Where the next byte goes.
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

  /// Passes over bytes that are written later.
  ///
  /// - Returns: where they are.
  @inline(__always)
  package mutating func skip(_ count: Int) -> UnsafeMutableRawPointer { take(count) }

  /// Writes a field whose value is a number.
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

  /// Begins a field of bytes: writes its tag and length. Its content, which comes next, has this many bytes.
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
  /// The fields that `body` writes.
  ///
  /// - Parameter capacity: what they take at most.
  package init(wireCapacity capacity: Int, _ body: (inout WireWriter) -> Void) {
    self.init(unsafeUninitializedCapacity: capacity) { buffer, count in
      guard let start = buffer.baseAddress else { return }
      var writer = WireWriter(UnsafeMutableRawPointer(start), capacity: capacity)
      body(&writer)
      count = writer.byteCount
    }
  }
}
