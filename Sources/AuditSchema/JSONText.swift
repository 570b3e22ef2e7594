import CAuditSchema

/// Checks JSON text without changing it, and finds the members that the log uses.
///
/// The grammar is RFC 8259 in UTF-8, and the three further tokens that Python writes: `NaN`, `Infinity` and `-Infinity`.
package struct JSONText {
  /// Maximum nesting of arrays and objects, with the outermost.
  package static let maximumDepth = 256

  /// A string value without its quotes. `escaped`: it contains a backslash.
  struct Text {
    var range: Range<Int>
    var escaped: Bool
  }

  /// The members of the outermost object that the log uses. For a repeated key the last value counts, as in most readers.
  struct Members {
    /// Whether the object has the key, with any value.
    var hasKind = false
    var hasAt = false
    var isEmpty = true
    var kind: Text?
    var at: Text?
    var agentID: Text?
    var channelID: Text?
    var taskID: Text?
    var ownerID: Text?
    var creatorID: Text?
    var participants: [Text] = []
    var violators: [Text] = []
  }

  private enum Member { case kind, at, agentID, channelID, taskID, ownerID, creatorID, participants, violators, other }

  private let bytes: UnsafeRawBufferPointer
  private var index = 0
  private var members = Members()

  private init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// - Throws: `invalidJSON` with the offset and what was expected there, unless `bytes` is exactly one JSON object.
  static func object(_ bytes: UnsafeRawBufferPointer, named name: StaticString) throws(RequestError) -> Members {
    let good = caudit_text_span(bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
    guard good == bytes.count else {
      throw RequestError(.invalidJSON, "\(name): byte \(good) is not valid UTF-8 or is NUL; JSON text is UTF-8")
    }
    var text = JSONText(bytes)
    do throws(Problem) {
      text.skipSpace()
      guard text.peek == UInt8(ascii: "{") else { throw text.problem("a JSON object is due here") }
      try text.value()
      text.skipSpace()
      guard text.index == bytes.count else { throw text.problem("the object has ended and more follows") }
    } catch {
      throw RequestError(.invalidJSON, "\(name): \(error.what) at byte \(error.offset)")
    }
    return text.members
  }

  /// Whether `bytes` is one JSON object.
  package static func isObject(_ bytes: UnsafeRawBufferPointer) -> Bool {
    do {
      _ = try object(bytes, named: "text")
      return true
    } catch {
      return false
    }
  }

  /// Adds the members "kind" and "at" at the front of a JSON object, unless it has them. Its own text stays unchanged.
  ///
  /// - Parameters:
  ///   - kind: the value of "kind"; `nil`: do not add it.
  ///   - at: the value of "at"; `nil`: do not add it.
  /// - Throws: `invalidJSON` if the text is not one JSON object.
  package static func completing(_ text: [UInt8], kind: String?, at: String?) throws(RequestError) -> [UInt8] {
    let members = try text.withUnsafeBufferPointer { (bytes) throws(RequestError) in
      try object(UnsafeRawBufferPointer(bytes), named: "the text")
    }
    var added = ObjectWriter()
    if let at, !members.hasAt { added.literal("at", at) }
    if let kind, !members.hasKind { added.literal("kind", kind) }
    guard !added.isEmpty, let brace = text.firstIndex(of: UInt8(ascii: "{")) else { return text }
    return text[..<brace] + added.finished().dropLast() + (members.isEmpty ? [] : Array(", ".utf8)) + text[(brace + 1)...]
  }

  private struct Problem: Error {
    var what: StaticString
    var offset: Int
  }

  private func problem(_ what: StaticString) -> Problem { Problem(what: what, offset: index) }

  private var peek: UInt8 { index < bytes.count ? bytes[index] : 0 }

  private mutating func skipSpace() {
    while index < bytes.count {
      switch bytes[index] {
      case 0x20, 0x0A, 0x0D, 0x09: index += 1
      default: return
      }
    }
  }

  /// Checks one value with all it contains, without recursion: one bit per level says whether that level is an object.
  private mutating func value() throws(Problem) {
    var objects: InlineArray<4, UInt64> = [0, 0, 0, 0]
    var depth = 0
    var member = Member.other

    while true {
      skipSpace()
      let isMember = depth == 1
      let isElement = depth == 2 && objects[0] & 2 == 0 && (member == .participants || member == .violators)
      switch peek {
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        guard depth < Self.maximumDepth else { throw problem("nesting is deeper than 256") }
        let isObject = bytes[index] == UInt8(ascii: "{")
        if isMember { clear(member) }
        if isObject {
          objects[depth >> 6] |= 1 << UInt64(depth & 63)
        } else {
          objects[depth >> 6] &= ~(1 << UInt64(depth & 63))
        }
        depth += 1
        index += 1
        skipSpace()
        if peek == (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) { break }
        if isObject { try key(&member, top: depth == 1) }
        continue
      case UInt8(ascii: "\""):
        let text = try string()
        if isMember { keep(text, member) } else if isElement { keepElement(text, member) }
      default:
        if isMember { clear(member) }
        try scalar()
      }

      // After a value: a comma is followed by the next value; a closing bracket ends the containing value.
      closing: while true {
        guard depth > 0 else { return }
        skipSpace()
        let isObject = objects[(depth - 1) >> 6] & (1 << UInt64((depth - 1) & 63)) != 0
        if peek == UInt8(ascii: ",") {
          index += 1
          if isObject {
            skipSpace()
            try key(&member, top: depth == 1)
          }
          break closing
        }
        guard peek == (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) else {
          throw problem(isObject ? "expected a comma or }" : "expected a comma or ]")
        }
        index += 1
        depth -= 1
        if depth == 0 { return }
      }
    }
  }

  private mutating func key(_ member: inout Member, top: Bool) throws(Problem) {
    guard peek == UInt8(ascii: "\"") else { throw problem("a key in double quotes is due") }
    let text = try string()
    if top {
      member = Self.member(bytes, text)
      members.isEmpty = false
      if member == .kind { members.hasKind = true }
      if member == .at { members.hasAt = true }
    }
    skipSpace()
    guard peek == UInt8(ascii: ":") else { throw problem("a colon is due") }
    index += 1
  }

  private mutating func string() throws(Problem) -> Text {
    index += 1
    let start = index
    var escaped = false
    while index < bytes.count {
      switch bytes[index] {
      case UInt8(ascii: "\""):
        defer { index += 1 }
        return Text(range: start..<index, escaped: escaped)
      case UInt8(ascii: "\\"):
        escaped = true
        index += 1
        switch peek {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"),
          UInt8(ascii: "r"), UInt8(ascii: "t"):
          index += 1
        case UInt8(ascii: "u"):
          index += 1
          for _ in 0..<4 {
            guard Self.hexDigit(peek) != nil else { throw problem("four hexadecimal digits are due") }
            index += 1
          }
        default: throw problem("this escape is not JSON")
        }
      case 0..<0x20: throw problem("a control character must be escaped")
      default: index += 1
      }
    }
    throw problem("the string has no end")
  }

  private mutating func scalar() throws(Problem) {
    for word: StaticString in ["true", "false", "null", "NaN", "Infinity", "-Infinity"] {
      let count = word.utf8CodeUnitCount
      if bytes.count - index >= count, (0..<count).allSatisfy({ bytes[index + $0] == word.utf8Start[$0] }) {
        index += count
        return
      }
    }
    let start = index
    if peek == UInt8(ascii: "-") { index += 1 }
    if peek == UInt8(ascii: "0") {
      index += 1
    } else {
      try digits()
    }
    if peek == UInt8(ascii: ".") {
      index += 1
      try digits()
    }
    if peek | 0x20 == UInt8(ascii: "e") {
      index += 1
      if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { index += 1 }
      try digits()
    }
    if index == start { throw problem("a value is due") }
  }

  private mutating func digits() throws(Problem) {
    let start = index
    while UInt8(ascii: "0")...UInt8(ascii: "9") ~= peek { index += 1 }
    if index == start { throw problem(index == bytes.count ? "the text ends where a value is due" : "a value is due") }
  }

  static func hexDigit(_ byte: UInt8) -> UInt32? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a") + 10)
    case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A") + 10)
    default: nil
    }
  }

  private static func member(_ bytes: UnsafeRawBufferPointer, _ key: Text) -> Member {
    func equals(_ name: StaticString) -> Bool {
      guard !key.escaped else {
        return decoded(bytes, key).map { $0.elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)) }
          ?? false
      }
      return key.range.count == name.utf8CodeUnitCount
        && key.range.allSatisfy { bytes[$0] == name.utf8Start[$0 - key.range.lowerBound] }
    }
    if equals("kind") { return .kind }
    if equals("at") { return .at }
    if equals("agent_id") { return .agentID }
    if equals("channel_id") { return .channelID }
    if equals("task_id") { return .taskID }
    if equals("owner_id") { return .ownerID }
    if equals("creator_id") { return .creatorID }
    if equals("participants") { return .participants }
    if equals("violators") { return .violators }
    return .other
  }

  private mutating func clear(_ member: Member) { keep(nil, member) }

  private mutating func keep(_ text: Text?, _ member: Member) {
    switch member {
    case .kind: members.kind = text
    case .at: members.at = text
    case .agentID: members.agentID = text
    case .channelID: members.channelID = text
    case .taskID: members.taskID = text
    case .ownerID: members.ownerID = text
    case .creatorID: members.creatorID = text
    // A single string counts as a list of one.
    case .participants: members.participants = text.map { [$0] } ?? []
    case .violators: members.violators = text.map { [$0] } ?? []
    case .other: break
    }
  }

  private mutating func keepElement(_ text: Text, _ member: Member) {
    if member == .participants { members.participants.append(text) } else { members.violators.append(text) }
  }

  /// The UTF-8 of a string value; `nil` if it contains NUL or an unpaired surrogate, which no text field can hold.
  static func decoded(_ bytes: UnsafeRawBufferPointer, _ text: Text) -> [UInt8]? {
    guard text.escaped else { return Array(bytes[text.range]) }
    var out: [UInt8] = []
    out.reserveCapacity(text.range.count)
    var index = text.range.lowerBound
    func unit() -> UInt32 {
      var value: UInt32 = 0
      for k in 2..<6 { value = value << 4 | hexDigit(bytes[index + k])! }
      return value
    }
    while index < text.range.upperBound {
      guard bytes[index] == UInt8(ascii: "\\") else {
        out.append(bytes[index])
        index += 1
        continue
      }
      switch bytes[index + 1] {
      case UInt8(ascii: "b"): out.append(0x08)
      case UInt8(ascii: "f"): out.append(0x0C)
      case UInt8(ascii: "n"): out.append(0x0A)
      case UInt8(ascii: "r"): out.append(0x0D)
      case UInt8(ascii: "t"): out.append(0x09)
      case UInt8(ascii: "u"):
        var value = unit()
        if value == 0 || (0xDC00...0xDFFF).contains(value) { return nil }
        if (0xD800...0xDBFF).contains(value) {
          index += 6
          guard index + 6 <= text.range.upperBound, bytes[index] == UInt8(ascii: "\\"), bytes[index + 1] == UInt8(ascii: "u") else {
            return nil
          }
          let low = unit()
          guard (0xDC00...0xDFFF).contains(low) else { return nil }
          value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(value) else { return nil }
        out += Array(UTF8.encode(scalar)!)
        index += 6
        continue
      default: out.append(bytes[index + 1])
      }
      index += 2
    }
    return out
  }
}
