import AuditSchema
import Foundation

extension FuzzTarget {
  /// A line of an imported file, and the JSON text that a hub sends.
  static func json() -> FuzzTarget {
    let check = LineCheck()
    return FuzzTarget(name: "json") { input in
      let text = Array(input)
      let isObject = JSONText.isObject(input)
      if isObject {
        try completed(text)
        let line = JSONText.oneLine(text)
        try require(line.withUnsafeBytes { JSONText.isObject($0) }, "on one line it is no object any more")
        try require(!line.contains { $0 == 0x0A || $0 == 0x0D }, "one line has a line end")
        try require(JSONText.oneLine(line) == line, "one line is not one line")
      } else {
        try require(!isObjectToFoundation(text), "Foundation reads an object where we read none")
      }
      try check.run(text, isObject: isObject)
    }
  }

  private static func completed(_ text: [UInt8]) throws {
    let whole = try must("it cannot be completed") { try JSONText.completing(text, kind: "k\"\u{1}", at: "now") }
    try require(whole.withUnsafeBytes { JSONText.isObject($0) }, "completed, it is no object any more")
    try require(whole.count >= text.count && whole.suffix(1) == text.suffix(1), "completed, it lost something")
    try require(try JSONText.completing(whole, kind: "other", at: "later") == whole, "completed twice, it is another")
  }

  /// A second opinion. Foundation takes other encodings, deeper nesting and commas before a closing bracket, which are not meant.
  private static func isObjectToFoundation(_ text: [UInt8]) -> Bool {
    guard !text.contains(0), !text.starts(with: [0xEF, 0xBB, 0xBF]), !text.starts(with: [0xFE, 0xFF]), !text.starts(with: [0xFF, 0xFE]),
      text.count(where: { $0 == UInt8(ascii: "[") || $0 == UInt8(ascii: "{") }) <= JSONText.maximumDepth
    else { return false }
    let tokens = text.filter { $0 > 0x20 }
    let closing = [UInt8(ascii: "]"), UInt8(ascii: "}")]
    guard !zip(tokens, tokens.dropFirst()).contains(where: { $0 == UInt8(ascii: ",") && closing.contains($1) }) else { return false }
    return (try? JSONSerialization.jsonObject(with: Data(text))) is [String: Any]
  }
}

/// The way of a line through `hubaudit import`, the server, and `hubaudit export`: it comes back as it was.
private final class LineCheck {
  private let arena = DecodeArena(limitBytes: 4 << 20)
  private let encoder = EventEncoder()
  private let origin: RecordOrigin

  init() {
    do { origin = try RecordOrigin(hub: "import", producer: "file") } catch { fatalError("\(error)") }
  }

  func run(_ line: [UInt8], isObject: Bool) throws {
    let event: Event = isObject ? .custom(json: line) : .unreadableLine(line, unterminated: line.count % 2 == 1)
    let encoded = try must("the event cannot be encoded") { try encoder.encode(event) }
    let frame = try undelimited(ClientFrameEncoder.append(id: 1, producerSequence: 1, events: [encoded]))
    let records = EncodedRecords(capacity: 256)
    defer { arena.reset() }
    do {
      try frame.withUnsafeBytes { frame in
        var id: UInt64?
        guard case .append(let append) = try ClientFrame(frame, in: arena, identified: &id).request else {
          throw Violation(description: "an append is none")
        }
        try EventTranslator(arena: arena).translate(
          append, origin: origin, firstNumber: 1, recordLimit: 1 << 20, into: records)
      }
    } catch let error as RequestError where error.code == .limitExceeded {
      // A kind that is too long, or text that takes more memory than a frame may: a limit, told.
      return
    }
    _ = records.seal(0..<1, firstSequence: 0, receivedAt: 1)
    try RecordCheck().sealed(records.bytes, count: 1, hub: "import")
    let record = try must("the record cannot be read") { try Record.records(inBatch: records.bytes)[0] }
    if isObject {
      try require(try record.json() == line, "the line came back as another")
    } else {
      let kept = try record.unreadableLine()
      try require(kept?.line == line && kept?.unterminated == (line.count % 2 == 1), "the unreadable line came back as another")
    }
  }
}
