import ArgumentParser
import AuditClient
import AuditSchema
import Foundation

/// `hubaudit stats`: how many records, by kind, hub or agent.
struct StatsCommand: AsyncParsableCommand {
  enum Key: String, ExpressibleByArgument, CaseIterable { case kind, hub, agent }

  static let configuration = CommandConfiguration(commandName: "stats", abstract: "Count records by kind, hub or agent.")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var filters: FilterOptions
  @Option(help: "kind, hub or agent: everybody that --agent finds, so that a record may count for several.") var by: Key = .kind
  @Option(name: [.short, .long], help: "table or json (one object a line).") var output: OutputFormat?

  func run() async throws {
    let filter = try filters.filter()
    let client = try await connection.connect()
    var counts: [String: UInt64] = [:]
    // Erased records: nobody can tell any more whom they would count for.
    var erased: UInt64 = 0
    try await ConnectionOptions.reporting {
      let records = client.read(filter: filter)
      for try await record in records {
        if by == .agent, record.isErased {
          erased += 1
        } else {
          for key in keys(of: record) { counts[key, default: 0] += 1 }
        }
      }
      erased += records.erasedSkipped
    }
    await client.close()
    let isTable = (output ?? (isatty(STDOUT_FILENO) == 1 ? .table : .json)) == .table
    for (key, count) in counts.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
      if isTable {
        let number = String(count)
        print(String(repeating: " ", count: max(0, 10 - number.count)) + number + "  " + TerminalText.escaped(key.isEmpty ? "-" : key))
      } else {
        var object = ObjectWriter()
        object.token("count", "\(count)")
        object.literal("key", key)
        try StandardOutput.json(object.finished())
      }
    }
    if erased > 0 {
      if isTable {
        let number = String(erased)
        print(
          String(repeating: " ", count: max(0, 10 - number.count)) + number + "  (erased: nobody can tell any more what they were about)")
      } else {
        var object = ObjectWriter()
        object.token("count", "\(erased)")
        object.token("erased", "true")
        try StandardOutput.json(object.finished())
      }
    }
    if counts.isEmpty { throw filters.nothingFound }
  }

  /// The keys that a record counts for; "" if it has none.
  private func keys(of record: Record) -> [String] {
    switch by {
    case .kind: return [record.kind ?? ""]
    case .hub: return [record.hub]
    case .agent:
      let agents = record.agents
      return agents.isEmpty ? [""] : agents
    }
  }
}
