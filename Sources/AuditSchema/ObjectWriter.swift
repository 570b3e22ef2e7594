import CAuditSchema
import Glibc

/// Writes a JSON object in Python's default form: ", " and ": " between, everything but ASCII escaped.
package struct ObjectWriter {
  private var out: [UInt8]
  package private(set) var isEmpty = true

  /// - Parameter out: what stands before the object. Give it away (`taken`) to have it written behind without a copy.
  package init(appendingTo out: consuming [UInt8] = []) {
    self.out = out
    if self.out.capacity == 0 { self.out.reserveCapacity(256) }
    self.out.append(UInt8(ascii: "{"))
  }

  /// What stood before, and the whole object. The writer is empty afterwards.
  package mutating func finished() -> [UInt8] {
    out.append(UInt8(ascii: "}"))
    return out.taken()
  }

  private mutating func key(_ name: StaticString) {
    if !isEmpty { separate() }
    isEmpty = false
    out.append(UInt8(ascii: "\""))
    out += UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    out.append(UInt8(ascii: "\""))
    out.append(UInt8(ascii: ":"))
    out.append(UInt8(ascii: " "))
  }

  private mutating func separate() {
    out.append(UInt8(ascii: ","))
    out.append(UInt8(ascii: " "))
  }

  package mutating func token(_ name: StaticString, _ token: String) {
    key(name)
    out += token.utf8
  }

  package mutating func number(_ name: StaticString, _ value: UInt64) {
    key(name)
    DecimalText.append(value, to: &out)
  }

  package mutating func literal(_ name: StaticString, _ value: String) {
    key(name)
    append(value)
  }

  package mutating func string(_ name: StaticString, _ utf8: [UInt8]) {
    key(name)
    utf8.withUnsafeBufferPointer { append($0) }
  }

  /// A time, as RFC 3339 with nine digits.
  package mutating func time(_ name: StaticString, _ nanoseconds: UInt64) {
    key(name)
    out.append(UInt8(ascii: "\""))
    UTCTime.append(rfc3339: nanoseconds, to: &out)
    out.append(UInt8(ascii: "\""))
  }

  /// Bytes as lower-case hex digits.
  package mutating func hex(_ name: StaticString, _ bytes: some Collection<UInt8>) {
    key(name)
    out.append(UInt8(ascii: "\""))
    for byte in bytes {
      out.append(Self.hexDigit(UInt16(byte >> 4)))
      out.append(Self.hexDigit(UInt16(byte & 15)))
    }
    out.append(UInt8(ascii: "\""))
  }

  package mutating func optional(_ name: StaticString, _ value: String?) {
    key(name)
    if let value { append(value) } else { appendNull() }
  }

  package mutating func json(_ name: StaticString, _ text: [UInt8]) {
    key(name)
    out += text
  }

  /// A value that `write` appends.
  package mutating func value(_ name: StaticString, _ write: (inout [UInt8]) throws -> Void) rethrows {
    key(name)
    try write(&out)
  }

  mutating func text(_ name: StaticString, _ value: CString?) {
    key(name)
    append(value)
  }

  mutating func texts(_ name: StaticString, _ values: UnsafeMutablePointer<CString?>?, _ count: Int) {
    key(name)
    out.append(UInt8(ascii: "["))
    for index in 0..<count {
      if index > 0 { separate() }
      append(values![index])
    }
    out.append(UInt8(ascii: "]"))
  }

  mutating func number(_ name: StaticString, _ value: Int64?) {
    token(name, value.map { String($0) } ?? "null")
  }

  mutating func json(_ name: StaticString, _ data: ProtobufCBinaryData) {
    key(name)
    if data.len > 0 {
      out += UnsafeBufferPointer(start: data.data, count: data.len)
    } else {
      out.append(UInt8(ascii: "{"))
      out.append(UInt8(ascii: "}"))
    }
  }

  private mutating func appendNull() { out += "null".utf8 }

  private mutating func append(_ value: CString?) {
    guard let value else { return appendNull() }
    let count = strlen(value)
    value.withMemoryRebound(to: UInt8.self, capacity: count) { append(UnsafeBufferPointer(start: $0, count: count)) }
  }

  private mutating func append(_ value: String) {
    var value = value
    value.withUTF8 { append($0) }
  }

  private mutating func append(_ utf8: UnsafeBufferPointer<UInt8>) {
    out.append(UInt8(ascii: "\""))
    if utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
      out += utf8
    } else {
      for unit in String(decoding: utf8, as: UTF8.self).utf16 { append(unit: unit) }
    }
    out.append(UInt8(ascii: "\""))
  }

  private mutating func append(unit: UInt16) {
    switch unit {
    case 0x22: out += [0x5C, 0x22]
    case 0x5C: out += [0x5C, 0x5C]
    case 0x0A: out += [0x5C, UInt8(ascii: "n")]
    case 0x0D: out += [0x5C, UInt8(ascii: "r")]
    case 0x09: out += [0x5C, UInt8(ascii: "t")]
    case 0x08: out += [0x5C, UInt8(ascii: "b")]
    case 0x0C: out += [0x5C, UInt8(ascii: "f")]
    case 0x20..<0x7F: out.append(UInt8(unit))
    default: Self.append(escapeOf: unit, to: &out)
    }
  }

  /// A UTF-16 unit as `\u` and four hex digits.
  static func append(escapeOf unit: UInt16, to out: inout [UInt8]) {
    out.append(0x5C)
    out.append(UInt8(ascii: "u"))
    for shift: UInt16 in [12, 8, 4, 0] { out.append(hexDigit(unit >> shift & 0xF)) }
  }

  private static func hexDigit(_ value: UInt16) -> UInt8 {
    UInt8(truncatingIfNeeded: value) + (value < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10)
  }
}

extension Array {
  /// The elements, and none left behind: the buffer has one owner still, and can be written to without a copy.
  package mutating func taken() -> Self {
    let elements = self
    self = []
    return elements
  }
}
