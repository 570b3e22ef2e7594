import CAuditSchema
import Glibc

/// Writes a JSON object in Python's default form: with ", " and ": " as separators, and all but ASCII escaped.
package struct ObjectWriter {
  private let out: TextBuffer
  package private(set) var isEmpty = true

  /// - Parameter out: the buffer to append the object to.
  package init(appendingTo out: TextBuffer = TextBuffer()) {
    self.out = out
    out.append(UInt8(ascii: "{"))
  }

  /// Ends the object.
  package func end() { out.append(UInt8(ascii: "}")) }

  /// Ends the object.
  ///
  /// - Returns: the whole buffer, with what it held before.
  package func finished() -> [UInt8] {
    end()
    return Array(out.bytes)
  }

  private mutating func key(_ name: StaticString) {
    let count = name.utf8CodeUnitCount
    out.withRoom(count + 6) { room in
      var next = room
      func put(_ byte: UInt8) {
        next[0] = byte
        next += 1
      }
      if !isEmpty {
        put(UInt8(ascii: ","))
        put(UInt8(ascii: " "))
      }
      put(UInt8(ascii: "\""))
      next.update(from: name.utf8Start, count: count)
      next += count
      put(UInt8(ascii: "\""))
      put(UInt8(ascii: ":"))
      put(UInt8(ascii: " "))
      return next - room
    }
    isEmpty = false
  }

  package mutating func token(_ name: StaticString, _ token: String) {
    key(name)
    out.append(token)
  }

  package mutating func number(_ name: StaticString, _ value: UInt64) {
    key(name)
    DecimalText.append(value, to: out)
  }

  package mutating func literal(_ name: StaticString, _ value: String) {
    key(name)
    append(value)
  }

  /// Text that needs no escape.
  mutating func literal(_ name: StaticString, _ value: StaticString) {
    key(name)
    out.append(UInt8(ascii: "\""))
    out.append(value)
    out.append(UInt8(ascii: "\""))
  }

  package mutating func string(_ name: StaticString, _ utf8: [UInt8]) {
    key(name)
    utf8.withUnsafeBufferPointer { append($0) }
  }

  /// UTF-8 text; `nil`: null.
  mutating func text(_ name: StaticString, _ utf8: UnsafeBufferPointer<UInt8>?) {
    key(name)
    if let utf8 { append(utf8) } else { appendNull() }
  }

  /// A time, as RFC 3339 with nine decimals.
  package mutating func time(_ name: StaticString, _ nanoseconds: UInt64) {
    key(name)
    out.append(UInt8(ascii: "\""))
    UTCTime.append(rfc3339: nanoseconds, to: out)
    out.append(UInt8(ascii: "\""))
  }

  /// Bytes as lower-case hex digits.
  package mutating func hex(_ name: StaticString, _ bytes: [UInt8]) {
    bytes.withUnsafeBufferPointer { hex(name, $0) }
  }

  mutating func hex(_ name: StaticString, _ bytes: UnsafeBufferPointer<UInt8>) {
    key(name)
    out.withRoom(2 + 2 * bytes.count) { room in
      room[0] = UInt8(ascii: "\"")
      var next = room + 1
      for byte in bytes {
        next[0] = Self.hexDigit(UInt16(byte >> 4))
        next[1] = Self.hexDigit(UInt16(byte & 15))
        next += 2
      }
      next[0] = UInt8(ascii: "\"")
      return next + 1 - room
    }
  }

  package mutating func optional(_ name: StaticString, _ value: String?) {
    key(name)
    if let value { append(value) } else { appendNull() }
  }

  package mutating func json(_ name: StaticString, _ text: [UInt8]) {
    key(name)
    text.withUnsafeBufferPointer { out.append($0) }
  }

  /// A value that `write` appends.
  mutating func value<Failure: Error>(_ name: StaticString, _ write: (TextBuffer) throws(Failure) -> Void) throws(Failure) {
    key(name)
    try write(out)
  }

  mutating func text(_ name: StaticString, _ value: CString?) {
    key(name)
    append(value)
  }

  mutating func texts(_ name: StaticString, _ values: UnsafeMutablePointer<CString?>?, _ count: Int) {
    key(name)
    out.append(UInt8(ascii: "["))
    for index in 0..<count {
      if index > 0 { out.append(", ") }
      append(values![index])
    }
    out.append(UInt8(ascii: "]"))
  }

  mutating func number(_ name: StaticString, _ value: Int64?) {
    key(name)
    guard let value else { return appendNull() }
    if value < 0 { out.append(UInt8(ascii: "-")) }
    DecimalText.append(value.magnitude, to: out)
  }

  /// JSON text from a client.
  mutating func json(_ name: StaticString, _ data: ProtobufCBinaryData, _ form: JSONForm) {
    key(name)
    if data.len > 0 { form.append(data, to: out) } else { out.append("{}") }
  }

  private func appendNull() { out.append("null") }

  private func append(_ value: CString?) {
    guard let value else { return appendNull() }
    let count = strlen(value)
    value.withMemoryRebound(to: UInt8.self, capacity: count) { append(UnsafeBufferPointer(start: $0, count: count)) }
  }

  private func append(_ value: String) {
    var value = value
    value.withUTF8 { append($0) }
  }

  private func append(_ utf8: UnsafeBufferPointer<UInt8>) {
    if Self.needsNoEscape(utf8) {
      out.withRoom(utf8.count + 2) { room in
        room[0] = UInt8(ascii: "\"")
        if let base = utf8.baseAddress { (room + 1).update(from: base, count: utf8.count) }
        room[utf8.count + 1] = UInt8(ascii: "\"")
        return utf8.count + 2
      }
    } else {
      out.append(UInt8(ascii: "\""))
      for unit in String(decoding: utf8, as: UTF8.self).utf16 { append(unit: unit) }
      out.append(UInt8(ascii: "\""))
    }
  }

  /// Whether the text has only ASCII from space to tilde, without quotes and backslashes. Checks eight bytes at a time: in `x - 1 & ~x`,
  /// the highest bit of a byte is set if that byte of x is zero, or a lower byte is.
  private static func needsNoEscape(_ utf8: UnsafeBufferPointer<UInt8>) -> Bool {
    let bytes = UnsafeRawBufferPointer(utf8)
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highest: UInt64 = 0x8080_8080_8080_8080
    func zeros(_ word: UInt64) -> UInt64 { (word &- ones) & ~word }
    var found: UInt64 = 0
    var index = 0
    while index + 8 <= bytes.count {
      let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      found |=
        word | ((word &- ones &* 0x20) & ~word) | zeros(word ^ ones &* 0x22) | zeros(word ^ ones &* 0x5C) | zeros(word ^ ones &* 0x7F)
      index += 8
    }
    guard found & highest == 0 else { return false }
    while index < bytes.count {
      let byte = bytes[index]
      guard byte >= 0x20, byte < 0x7F, byte != 0x22, byte != 0x5C else { return false }
      index += 1
    }
    return true
  }

  private func append(unit: UInt16) {
    switch unit {
    case 0x22: out.append(#"\""#)
    case 0x5C: out.append(#"\\"#)
    case 0x0A: out.append(#"\n"#)
    case 0x0D: out.append(#"\r"#)
    case 0x09: out.append(#"\t"#)
    case 0x08: out.append(#"\b"#)
    case 0x0C: out.append(#"\f"#)
    case 0x20..<0x7F: out.append(UInt8(unit))
    default: Self.append(escapeOf: unit, to: out)
    }
  }

  /// A UTF-16 unit as `\u` and four hex digits.
  static func append(escapeOf unit: UInt16, to out: TextBuffer) {
    out.append(#"\u"#)
    for shift: UInt16 in [12, 8, 4, 0] { out.append(hexDigit(unit >> shift & 0xF)) }
  }

  private static func hexDigit(_ value: UInt16) -> UInt8 {
    UInt8(truncatingIfNeeded: value) + (value < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10)
  }
}

/// How JSON text from a client is written.
enum JSONForm {
  /// Byte for byte.
  case asSent
  /// As `JSONText.append(lineOf:to:)` does.
  case line(isForTerminal: Bool)

  func append(_ data: ProtobufCBinaryData, to out: TextBuffer) {
    let text = UnsafeBufferPointer(start: UnsafePointer(data.data), count: data.len)
    switch self {
    case .asSent: out.append(text)
    case .line(let isForTerminal): JSONText.append(lineOf: text, to: out, isForTerminal: isForTerminal)
    }
  }
}
