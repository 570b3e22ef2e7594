import AuditSchema
import Foundation
import Testing

/// Every rule of AG2's AuditLog, with what the original wrote for the same call: Tests/Conformance/generate_ag2_fixture.py.
@Suite struct OriginalBehaviourTests {
  struct Case: Decodable {
    var name: String
    var event_hex: String
    var expected_line: String?
    /// AG2 names the event as one that it does not record.
    var ignored: Bool
    var uses_clock: Bool
  }

  static let cases: [Case] = {
    let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Fixtures/ag2_events.json")
    return try! JSONDecoder().decode([Case].self, from: Data(contentsOf: path))
  }()

  @Test("each event makes the bytes that AG2 wrote, none where AG2 names it and wrote none; an event that it does not know is kept")
  func sameBytes() throws {
    #expect(Self.cases.count > 100)
    for one in Self.cases {
      let translation = try Translation()
      let records = try translation.records(ofEvents: [[UInt8](hex: one.event_hex)])
      guard !one.ignored else {
        #expect(records.isEmpty && translation.ignored == [0], "\(one.name)")
        continue
      }
      #expect(translation.ignored.isEmpty, "\(one.name)")
      let record = try #require(records.first, "\(one.name)")
      guard let line = one.expected_line else {
        #expect(record.kind == "unrecognised", "\(one.name)")
        continue
      }
      let json = try #require(try record.json(), "\(one.name)").text
      if one.uses_clock {
        // The original asked its own clock; so does the server, which is seen by the time it was given here.
        let at = /"at": "[^"]*"/
        #expect(json == line.replacing(at, with: "\"at\": \"2026-01-01T00:00:00Z\""), "\(one.name)")
      } else {
        #expect(json == line, "\(one.name)")
      }
      #expect(record.isIntact, "\(one.name)")
    }
  }
}
