import AuditSchema
import Foundation
import Glibc
import Testing

/// The line of JSON that `read` and `tail` print, rendered straight from a record's bytes, against one that is put together member by member.
@Suite struct RecordLineTests {
  /// Escaped one UTF-16 unit after the other.
  static func quoted(_ text: String) -> String {
    let names: [UInt16: String] = [0x22: "\\\"", 0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x08: "\\b", 0x0C: "\\f"]
    var out = "\""
    for unit in text.utf16 {
      if let name = names[unit] {
        out += name
      } else if (0x20..<0x7F).contains(unit) {
        out.unicodeScalars.append(Unicode.Scalar(unit)!)
      } else {
        out += "\\u" + String(format: "%04x", unit)
      }
    }
    return out + "\""
  }

  static func time(_ nanoseconds: UInt64) -> String {
    var seconds = time_t(nanoseconds / 1_000_000_000)
    var fields = tm()
    gmtime_r(&seconds, &fields)
    return String(
      format: "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ", fields.tm_year + 1900, fields.tm_mon + 1, fields.tm_mday, fields.tm_hour,
      fields.tm_min,
      fields.tm_sec, Int(nanoseconds % 1_000_000_000))
  }

  static func hex(_ bytes: [UInt8]) -> String { bytes.map { String(format: "%02x", $0) }.joined() }

  /// The whole of the record's own JSON, made one line.
  static func body(_ record: Record, isForTerminal: Bool) throws -> String {
    guard let json = try record.json(), !json.isEmpty else { return "null" }
    let out = TextBuffer()
    json.withUnsafeBufferPointer { JSONText.append(lineOf: $0, to: out, isForTerminal: isForTerminal) }
    return String(decoding: out.bytes, as: UTF8.self)
  }

  static func expected(_ record: Record, isForTerminal: Bool) throws -> String {
    var members = [
      ("at", record.at.map(quoted) ?? "null"), ("body_sha256", "\"\(hex(record.bodySHA256))\""), ("hub", quoted(record.hub)),
      ("kind", record.kind.map(quoted) ?? "null"),
    ]
    if let principal = record.principal { members.append(("principal", quoted(principal))) }
    if let producer = record.producer { members.append(("producer", quoted(producer))) }
    if let number = record.producerSequence { members.append(("producer_sequence", "\(number)")) }
    members.append(("received_at", "\"\(time(record.receivedAt))\""))
    members.append(("record", try body(record, isForTerminal: isForTerminal)))
    members.append(("sequence", "\(record.sequence)"))
    let unknown = record.unknownFields().map {
      "{\"bytes\": \"\(hex($0.bytes))\", \"message\": \(quoted($0.message)), \"number\": \($0.number)}"
    }
    if !unknown.isEmpty { members.append(("unknown_fields", "[\(unknown.joined(separator: ", "))]")) }
    return "{" + members.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}\n"
  }

  private func check(_ record: Record, _ renderer: RecordRenderer, _ out: TextBuffer) throws {
    for isForTerminal in [false, true] {
      out.removeAll()
      try renderer.append(lineOf: record, to: out, isForTerminal: isForTerminal)
      #expect(String(decoding: out.bytes, as: UTF8.self) == (try Self.expected(record, isForTerminal: isForTerminal)))
    }
  }

  // MARK: - Records by lot

  struct Lots: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state ^ state >> 29
    }
  }

  /// A field with tag and length.
  static func field(_ number: Int, _ content: [UInt8]) -> [UInt8] {
    varint(UInt64(number << 3 | 2)) + varint(UInt64(content.count)) + content
  }

  static func varint(_ value: UInt64) -> [UInt8] {
    var (value, bytes) = (value, [UInt8]())
    while value >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    return bytes + [UInt8(value)]
  }

  static func fixed(_ number: Int, _ value: UInt64) -> [UInt8] {
    varint(UInt64(number << 3 | 1)) + (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  private static let texts: [[UInt8]] =
    [
      "", "hub-1", "seven b", "eight by", "nine byte", "a \"quoted\" name with \\ and /", "Grüße \u{2028} 🌍", "\u{7F}\u{1B}[31m",
      "tab\tline\nreturn\r",
      "1234567~", "1234567\u{7F}", "12345678\u{1F}",
    ].map { Array($0.utf8) } + [[0xFF, 0x41], [0x41, 0xC3], [0xED, 0xA0, 0x80]]

  static func header(_ lots: inout Lots) -> [UInt8] {
    var fields = [
      fixed(1, lots.next() >> UInt64.random(in: 1...63, using: &lots)), fixed(2, lots.next() >> UInt64.random(in: 0...63, using: &lots)),
    ]
    for number in [3, 4, 6, 8, 9] where Int.random(in: 0..<5, using: &lots) > 0 {
      fields.append(field(number, texts.randomElement(using: &lots)!))
    }
    if Bool.random(using: &lots) { fields.append(varint(5 << 3) + varint(lots.next())) }
    if Bool.random(using: &lots) { fields.append(varint(7 << 3) + varint(1)) }
    // What a newer server put in, also between what is known; and what comes twice.
    if Int.random(in: 0..<6, using: &lots) == 0 { fields.insert(field(40, [1, 2, 3]), at: Int.random(in: 0...fields.count, using: &lots)) }
    if Int.random(in: 0..<6, using: &lots) == 0 { fields.append(field(3, texts.randomElement(using: &lots)!)) }
    return fields.flatMap { $0 }
  }

  /// Bodies of all kinds, as the server makes them, and custom ones that need care.
  static func bodies() throws -> [[UInt8]] {
    let texts = [
      "{}", #"{"kind": "w", "a": NaN, "b": [-Infinity, Infinity, -1], "s": "NaN \ud800 \udc00 \ud83d\ude00 \"q\" \\"}"#,
      "{\n\t\"a\":\r\n \"é\u{202E}\u{85}\u{7F}\" }",
    ]
    var events = texts.map { Event.custom(json: Array($0.utf8)) }
    for text in texts {
      events.append(
        .expectationFired(
          ExpectationFired(
            channelID: "c-1", at: "then", expectation: "é", onViolation: "warn", params: Array(text.utf8), violators: ["a", "Ü", ""],
            detail: Array(text.utf8))))
    }
    let encoded =
      try events.map { try EventEncoder().encode($0) }
      + OriginalBehaviourTests.cases.filter { !$0.ignored }.map { [UInt8](hex: $0.event_hex) }
    return try encoded.flatMap { try Translation().records(ofEvents: [$0]).compactMap { $0.encodedBody.map { Array($0) } } }
  }

  @Test(
    "the line of a record is the one that is put together from its parts: all kinds, headers by lot, erased ones, unknown fields, on a terminal too"
  )
  func lines() throws {
    var lots = Lots(state: 9)
    let renderer = RecordRenderer()
    let out = TextBuffer()
    let bodies = try Self.bodies()
    #expect(bodies.count > 100)
    var (erased, unknown) = (0, 0)
    for round in 0..<20 {
      for body in bodies {
        var encoded = Self.field(1, Self.header(&lots))
        if Int.random(in: 0..<8, using: &lots) > 0 {
          encoded += Self.field(2, body + (Int.random(in: 0..<8, using: &lots) == 0 ? Self.field(99, [7]) : []))
        }
        encoded += [0x1D, 0, 0, 0, UInt8(round)]
        let record = try Record(encoded)
        if record.isErased { erased += 1 }
        if !record.unknownFields().isEmpty { unknown += 1 }
        try check(record, renderer, out)
      }
    }
    #expect(erased > 50 && unknown > 50)
  }

  @Test("every byte is escaped or not wherever it stands in a text")
  func everyByte() throws {
    let renderer = RecordRenderer()
    let out = TextBuffer()
    for count in 1...17 {
      for position in 0..<count {
        for byte in UInt8.min...UInt8.max {
          var text = [UInt8](repeating: UInt8(ascii: "~"), count: count)
          text[position] = byte
          let record = try Record(Self.field(1, Self.fixed(1, 0) + Self.field(3, text)))
          out.removeAll()
          try renderer.append(lineOf: record, to: out, isForTerminal: false)
          let hub = Self.quoted(String(decoding: text, as: UTF8.self))
          let isRight = String(decoding: out.bytes, as: UTF8.self).contains(
            "\"hub\": \(hub), \"kind\": null, \"received_at\": \"1970-01-01T")
          #expect(isRight, "byte \(byte) at \(position) of \(count)")
        }
      }
    }
  }

  @Test("times are those of the calendar, from 1970 to the last one that 64 bits hold")
  func times() {
    var lots = Lots(state: 4)
    let day: UInt64 = 86_400_000_000_000
    var all: [UInt64] = [0, 1, 951_782_399_999_999_999, 951_782_400_000_000_000, 4_107_542_399_000_000_000, UTCTime.latest, .max]
    // The first and the last nanosecond of each day of eighty years, and instants by lot.
    for number in 0..<UInt64(80 * 365 + 20) { all += [number * day, (number + 1) * day - 1] }
    for _ in 0..<10_000 { all.append(lots.next()) }
    for time in all {
      #expect(UTCTime.rfc3339(time) == Self.time(time))
      let micro = time % 1_000_000_000 / 1000
      let date = String(Self.time(time).prefix(19))
      #expect(UTCTime.iso8601Microseconds(time) == date + (micro == 0 ? "" : String(format: ".%06d", Int(micro))) + "Z")
    }
  }
}
