import AuditLog
import AuditSchema
import Foundation
import Testing

/// The tables of PROTOCOL.md that come from lists in the program.
@Suite
struct ProtocolPageTests {
  private let page: String

  init() throws {
    let root = #filePath.replacing("/Tests/AuditLogTests/ProtocolPageTests.swift", with: "")
    page = try String(contentsOfFile: root + "/Proto/hubaudit/v1/PROTOCOL.md", encoding: .utf8)
  }

  /// The cells of each row under a heading that begins with a name in backticks; the name without them.
  private func rows(under heading: String) throws -> [[String]] {
    let lines = page.split(separator: "\n")
    let start = try #require(lines.firstIndex { $0 == heading })
    return lines[(start + 1)...].prefix { !$0.hasPrefix("#") }.filter { $0.hasPrefix("| `") }
      .map { line in line.split(separator: "|").map { $0.replacing("`", with: "").trimmingCharacters(in: .whitespaces) } }
  }

  @Test("the page's table of errors says of each code whether the connection ends and whether to send again")
  func errors() throws {
    let told = try rows(under: "## Errors").map { Array($0[1...3]) }
    let wanted = RequestError.Code.allCases.map { code in
      ["\(code.rawValue)", code.endsConnection ? "ends" : "goes on", code.isRetryable ? "yes" : "no"]
    }
    #expect(told == wanted)
  }

  @Test("the page's table of the log's own records has every kind, once")
  func ownRecords() throws {
    let told = try rows(under: "### The log's own records").map { $0[0] }
    #expect(told.sorted() == OwnRecordKind.allCases.map(\.rawValue).sorted())
  }
}
