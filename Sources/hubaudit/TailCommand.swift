import ArgumentParser
import AuditClient
import AuditSchema
import Foundation

/// `hubaudit tail`: the newest records, and with -f those to come.
struct TailCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tail", abstract: "Print the newest records; with -f follow the log.",
    discussion: "A broken connection is made again and the log resumed where it was: nothing is missed and nothing comes twice.")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var position: PositionOptions
  @OptionGroup var filters: FilterOptions
  @OptionGroup var output: OutputOptions
  @Flag(name: [.short, .long], help: "Go on with the records to come.") var follow = false
  @Option(
    name: [.customShort("n"), .long], parsing: .unconditional, help: "Begin with this many of the newest records that match (default 10).")
  var lines: UInt64?
  @Option(parsing: .unconditional, help: "End after this many records.") var count: UInt64?

  func run() async throws {
    let form = try output.form(eachLine: true)
    // Checked first: the signals take a pipe.
    try FileLimit.require(FileLimit.client + FileLimit.eventLoop)
    let signals = Signals([SIGINT, SIGTERM])
    let filter = try filters.filter()
    try position.check()
    let history = try position.history()
    let client = try await connection.connect()
    let next = client.welcome.nextSequence
    var start = try history?.start ?? position.start(next: next)
    if let since = filter.since, start == nil, lines == nil { start = .time(since) }
    if start == nil || lines != nil { start = try await newest(lines ?? 10, of: client, filter: filter, end: next) }
    await client.close()

    let configuration = try connection.configuration()
    let cursor = Cursor(position.cursorFile)
    // A following tail never ends with "nothing found", so it warns now.
    if follow, let doubt = filters.doubt { StandardError.write("hubaudit: warning: \(TerminalText.escaped(doubt))\n") }
    let work = Task { [self, start] in
      try await tail(configuration, from: start!, history: history, filter: filter, form: form, cursor: cursor)
    }
    let interrupt = Task {
      for await _ in signals.received {
        work.cancel()
        return true
      }
      return false
    }
    let result = await work.result
    interrupt.cancel()
    try StandardOutput.flush()
    try cursor?.finish()
    switch result {
    case .success(let printed):
      if work.isCancelled { throw CommandFailure(.interrupted) }
      if printed == 0 { throw filters.nothingFound }
    case .failure(let error):
      if work.isCancelled { throw CommandFailure(.interrupted) }
      try await ConnectionOptions.reporting { throw error }
    }
  }

  /// The sequence at which the last `count` matching records begin.
  private func newest(_ count: UInt64, of client: AuditClient, filter: RecordFilter, end: UInt64) async throws -> Start {
    var first = end
    var found: UInt64 = 0
    guard count > 0 else { return .sequence(end) }
    try await ConnectionOptions.reporting {
      for try await record in client.read(from: .sequence(end), filter: filter, limit: count, backwards: true) {
        first = record.sequence
        found += 1
      }
    }
    // The whole log was examined, so erased records are counted from its beginning.
    return found < count && !filter.isEmpty ? .earliest : .sequence(first)
  }

  private func tail(
    _ configuration: ClientConfiguration, from start: Start, history: LogHistory?, filter: RecordFilter, form: OutputForm,
    cursor: Cursor?
  ) async throws -> UInt64 {
    let printer = RecordPrinter(form)
    var printed: UInt64 = 0
    /// Erased records that were skipped, and how many of them were reported.
    var told: UInt64 = 0
    var isCaughtUp = false
    if count == 0 { return 0 }
    var events = LogFollower(configuration: configuration, from: start, history: history, filter: filter).makeAsyncIterator()
    while let event = try await events.next() {
      switch event {
      case .record(let record):
        try printer.print(record)
        try cursor?.write(events.history)
        printed += 1
        if printed == count { return printed }
      case .caughtUp:
        isCaughtUp = true
        try cursor?.write(events.history)
        FilterOptions.tell(erasedSkipped: events.erasedSkipped - told)
        told = events.erasedSkipped
        if !follow { return printed }
      case .progress:
        try cursor?.write(events.history)
        // Reported once, at the end of the replay.
        guard isCaughtUp else { continue }
        FilterOptions.tell(erasedSkipped: events.erasedSkipped - told)
        told = events.erasedSkipped
      case .reconnected(let next, let error):
        let place = next.map { "at \($0)" } ?? "at the start"
        StandardError.write("hubaudit: \(error.message); connected again and resumed \(place), nothing missed\n")
      }
    }
    return printed
  }
}
