import ArgumentParser
import AuditClient
import AuditSchema
import Foundation

/// `hubaudit export`: the log as AG2's audit.jsonl.
struct ExportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write records as AG2's audit.jsonl to standard output.",
    discussion: """
      Built-in kinds become the bytes that AG2 writes for them, custom records the text that was sent, unreadable lines what they were: an \
      imported file comes back as it was. A record whose body was erased is left out and reported.
      """)

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var position: PositionOptions
  @OptionGroup var filters: FilterOptions

  func run() async throws {
    let filter = try filters.filter()
    try position.check()
    let history = try position.history()
    let client = try await connection.connect()
    let start = try history?.start ?? position.start(next: client.welcome.nextSequence) ?? .earliest
    let renderer = RecordRenderer()
    let line = TextBuffer()
    let isForTerminal = Terminal.standardOutput != nil
    var written = 0
    var erasedSkipped: UInt64 = 0
    var last: Record?
    try await ConnectionOptions.reporting {
      let records = client.read(from: start, history: history, filter: filter)
      for try await record in records {
        last = record
        if let (line, unterminated) = try renderer.unreadableLine(of: record) {
          let line = isForTerminal ? Array(TerminalText.escaped(String(decoding: line, as: UTF8.self)).utf8) : line
          try StandardOutput.write(line + (unterminated ? [] : [UInt8(ascii: "\n")]))
        } else if let json = try renderer.json(of: record) {
          line.removeAll()
          json.withUnsafeBufferPointer { json in
            // A line end within the text would split the line.
            if isForTerminal || json.contains(UInt8(ascii: "\n")) {
              JSONText.append(lineOf: json, to: line, keepsNonFinite: true, isForTerminal: isForTerminal)
            } else {
              line.append(json)
            }
          }
          line.append(UInt8(ascii: "\n"))
          try StandardOutput.write(line.bytes)
        } else {
          StandardError.write("hubaudit: sequence \(record.sequence): the body was erased; left out\n")
          continue
        }
        written += 1
      }
      erasedSkipped = records.erasedSkipped
    }
    try StandardOutput.flush()
    FilterOptions.tell(erasedSkipped: erasedSkipped)
    await client.close()
    if let last, let cursor = Cursor(position.cursorFile) {
      try cursor.write(LogHistory(logID: client.welcome.logID, after: last))
      try cursor.finish()
    }
    if written == 0 { throw filters.nothingFound }
  }
}
