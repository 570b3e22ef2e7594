import AuditSchema

/// A record as a row of the table for people.
enum RecordRow {
  /// Widths of the columns before the record's text. On a terminal, longer values are cut, so that each row is one line.
  private static let columns: [(name: String, width: Int)] = [("SEQUENCE", 8), ("RECEIVED", 24), ("AT", 24), ("HUB", 14), ("KIND", 20)]
  /// Minimum width of the record's text, on narrow terminals.
  private static let leastBody = 20

  static func header(_ terminal: Terminal?) -> String {
    row(columns.map(\.name), body: "RECORD", terminal)
  }

  /// - Parameter body: the record's JSON; `nil` if it was erased.
  static func text(_ record: Record, body: String?, _ terminal: Terminal?) -> String {
    let received = UTCTime.rfc3339(record.receivedAt).prefix(23) + "Z"
    let values = ["\(record.sequence)", String(received), record.at ?? "-", record.hub, record.kind ?? "-"].map(TerminalText.escaped)
    let body = body.map { String(decoding: JSONText.oneLine(Array($0.utf8)), as: UTF8.self) } ?? "(body erased)"
    return row(values, body: TerminalText.escaped(body), terminal)
  }

  private static func row(_ values: [String], body: String, _ terminal: Terminal?) -> String {
    var row = ""
    for (index, (value, column)) in zip(values, columns).enumerated() {
      let cut = terminal == nil ? value : shortened(value, to: column.width)
      let space = String(repeating: " ", count: max(0, column.width - cut.count))
      row += (index == 0 ? space + cut : cut + space) + "  "
    }
    guard let terminal else { return row + body }
    return row + shortened(body, to: max(leastBody, terminal.columns - row.count))
  }

  /// The text, or its beginning and `…`.
  private static func shortened(_ text: String, to width: Int) -> String {
    text.count <= width ? text : text.prefix(width - 1) + "…"
  }
}
