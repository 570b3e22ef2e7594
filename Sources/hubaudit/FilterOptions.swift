import ArgumentParser
import AuditSchema
import HubauditSettings

/// The filter options, which the server evaluates. Values of one option are ORed, different options ANDed.
struct FilterOptions: ParsableArguments {
  @Option(help: "Only records of this kind; may be repeated.") var kind: [String] = []
  @Option(help: "Only records of this hub; may be repeated.") var hub: [String] = []
  @Option(help: "Only records about this agent (agent, owner, creator, participant or violator); may be repeated.") var agent: [String] = []
  @Option(help: "Only records about this channel; may be repeated.") var channel: [String] = []
  @Option(help: "Only records about this task; may be repeated.") var task: [String] = []
  @Option(parsing: .unconditional, help: "Received at this time or later: RFC 3339, -15m, today, yesterday (UTC).") var since: String?
  @Option(parsing: .unconditional, help: "Received before this time.") var until: String?

  /// Prints how many erased records may have matched.
  static func tell(erasedSkipped count: UInt64) {
    guard count > 0 else { return }
    StandardError.write("hubaudit: \(erasedWords(count)): nobody can tell any more what they were about\n")
  }

  static func erasedWords(_ count: UInt64) -> String {
    count == 1 ? "1 erased record may have matched" : "\(count) erased records may have matched"
  }

  /// - Throws: `CommandFailure` with usage status for an invalid time.
  func filter() throws -> RecordFilter {
    RecordFilter(
      kinds: kind, hubs: hub, agents: agent, channels: channel, tasks: task, since: try since.map { try TimeExpression.parse($0) },
      until: try until.map { try TimeExpression.parse($0) })
  }

  /// The failure of a command that found nothing. It names a value that was perhaps meant in another way.
  var nothingFound: CommandFailure { CommandFailure(.nothingFound, doubt.map { "nothing found; \($0)" } ?? "") }

  /// The first value that was perhaps meant in another way.
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
