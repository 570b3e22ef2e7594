import ArgumentParser
import AuditSchema

/// Which records: evaluated on the server. Options of one kind are ORed, different ones ANDed.
struct FilterOptions: ParsableArguments {
  @Option(help: "Only records of this kind; may be repeated.") var kind: [String] = []
  @Option(help: "Only records of this hub; may be repeated.") var hub: [String] = []
  @Option(help: "Only records about this agent (agent, owner, creator, participant or violator); may be repeated.") var agent: [String] = []
  @Option(help: "Only records about this channel; may be repeated.") var channel: [String] = []
  @Option(help: "Only records about this task; may be repeated.") var task: [String] = []
  @Option(parsing: .unconditional, help: "Received at this time or later: RFC 3339, -15m, today, yesterday (UTC).") var since: String?
  @Option(parsing: .unconditional, help: "Received before this time.") var until: String?

  /// Says of how many erased records nobody can tell any more whether they are among those asked for.
  static func tell(erasedSkipped count: UInt64) {
    guard count > 0 else { return }
    StandardError.write("hubaudit: \(erasedWords(count)): nobody can tell any more what they were about\n")
  }

  static func erasedWords(_ count: UInt64) -> String {
    count == 1 ? "1 erased record may have matched" : "\(count) erased records may have matched"
  }

  /// - Throws: `CommandFailure` with usage status for a time that is none.
  func filter() throws -> RecordFilter {
    RecordFilter(
      kinds: kind, hubs: hub, agents: agent, channels: channel, tasks: task, since: try since.map { try TimeExpression.parse($0) },
      until: try until.map { try TimeExpression.parse($0) })
  }

  /// The end of a command that found nothing. A value that was perhaps not meant as it was taken is named.
  var nothingFound: CommandFailure { CommandFailure(.nothingFound, doubt.map { "nothing found; \($0)" } ?? "") }

  /// The first value that was perhaps not meant as it is taken.
  var doubt: String? {
    for (option, values) in [("kind", kind), ("hub", hub), ("agent", agent), ("channel", channel), ("task", task)] {
      for value in values {
        if value.contains("*") || value.contains("?") {
          return "--\(option) takes no wildcards: \"\(value)\" was looked for as it is"
        }
        if value.contains(",") {
          return "--\(option) \"\(value)\" was looked for as one value: for several, give --\(option) several times"
        }
        if option == "kind", let known = Spelling.nearest(to: value, among: BuiltInKinds.all) {
          return "did you mean --kind \(known)?"
        }
      }
    }
    return nil
  }
}
