import ArgumentParser
import AuditClient
import AuditSchema

/// `hubaudit read`: prints the records that are there, then ends.
struct ReadCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read", abstract: "Print records of the log and end.",
    discussion: "Without --from it begins with the first record; with --backwards at the end.")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var position: PositionOptions
  @OptionGroup var filters: FilterOptions
  @OptionGroup var output: OutputOptions
  @Option(name: [.customShort("n"), .long], parsing: .unconditional, help: "Print this many records at most.") var count: UInt64?
  @Flag(help: "Newest first.") var backwards = false

  func run() async throws {
    if backwards, position.cursorFile != nil { throw CommandFailure(.usage, "--cursor-file goes forwards only") }
    let filter = try filters.filter()
    try position.check()
    let history = try position.history()
    let printer = RecordPrinter(try output.form(eachLine: false))
    let client = try await connection.connect()
    var printed = 0
    var erasedSkipped: UInt64 = 0
    var last: Record?
    do {
      let start = try history?.start ?? position.start(next: client.welcome.nextSequence) ?? (backwards ? .latest : .earliest)
      try await ConnectionOptions.reporting {
        let records = client.read(from: start, history: history, filter: filter, limit: count, backwards: backwards)
        for try await record in records {
          try printer.print(record)
          printed += 1
          last = record
        }
        erasedSkipped = records.erasedSkipped
      }
    }
    try printer.finish()
    FilterOptions.tell(erasedSkipped: erasedSkipped)
    await client.close()
    if let last, let cursor = Cursor(position.cursorFile) {
      try cursor.write(LogHistory(logID: client.welcome.logID, after: last))
      try cursor.finish()
    }
    if printed == 0 { throw filters.nothingFound }
  }
}
