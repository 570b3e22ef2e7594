import ArgumentParser
import Foundation

/// What is judged before a command line is parsed.
enum CommandLineCheck {
  /// Variables that are not settings.
  private static let variables = ["HUBAUDIT_SERVER", "HUBAUDIT_TIMEOUT", "HUBAUDIT_CONFIG"]
  /// Variables of the project's own tests and builds.
  private static let ownVariables = ["HUBAUDIT_BIN", "HUBAUDIT_FUZZ"]

  /// - Throws: `CommandFailure` with usage status for a command that there is not.
  static func run(_ arguments: [String], environment: [String: String] = ProcessInfo.processInfo.environment) throws {
    let commands = Hubaudit.configuration.subcommands.compactMap { $0.configuration.commandName } + ["help"]
    let asksForHelp = arguments.first == "help"
    if let name = asksForHelp ? arguments.dropFirst().first : arguments.first, !name.hasPrefix("-"), !commands.contains(name) {
      let hint = Spelling.nearest(to: name, among: commands).map { "; did you mean \($0)?" } ?? ""
      throw CommandFailure(.usage, "there is no command \"\(name)\"\(hint.isEmpty ? "; `hubaudit help` lists them" : hint)")
    }
    let known = variables + Settings.all.map(\.environmentName)
    for name in environment.keys.sorted() where name.hasPrefix("HUBAUDIT_") && !known.contains(name) && !ownVariables.contains(name) {
      let hint = Spelling.nearest(to: name, among: known).map { "; did you mean \($0)?" } ?? ""
      StandardError.write("hubaudit: warning: the variable \(name) means nothing to hubaudit\(hint)\n")
    }
  }
}

/// `hubaudit version`: the same as `--version`.
struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

  func run() { print(Hubaudit.version) }
}
