import ArgumentParser
import Foundation
import HubauditSettings

/// Checks that come before the command line is parsed.
enum CommandLineCheck {
  /// Variables that are not settings.
  private static let variables = ["HUBAUDIT_SERVER", "HUBAUDIT_TIMEOUT", "HUBAUDIT_CONFIG"] + CredentialOptions.variables
  /// Variables of the project's own tests and builds.
  private static let ownVariables = ["HUBAUDIT_BIN", "HUBAUDIT_FUZZ"]

  /// - Throws: `CommandFailure` with usage status for an unknown command.
  static func run(_ arguments: [String], environment: [String: String] = ProcessInfo.processInfo.environment) throws {
    let asksForHelp = arguments.first == "help"
    try checkCommands(asksForHelp ? arguments.dropFirst() : arguments[...], areAllCommands: asksForHelp)
    let known = variables + Settings.all.map(\.environmentName)
    for name in environment.keys.sorted() where name.hasPrefix("HUBAUDIT_") && !known.contains(name) && !ownVariables.contains(name) {
      let hint = Spelling.nearest(to: name, among: known).map { "; did you mean \($0)?" } ?? ""
      StandardError.write("hubaudit: warning: the variable \(name) means nothing to hubaudit\(hint)\n")
    }
  }
}

extension CommandLineCheck {
  /// The words before the first option that must name commands; for `help`, all of them.
  private static func checkCommands(_ words: ArraySlice<String>, areAllCommands: Bool) throws {
    var command: any ParsableCommand.Type = Hubaudit.self
    var path = "hubaudit"
    // A command without a name in its configuration has that of its type.
    for word in words {
      let isFirst = path == "hubaudit"
      if word.hasPrefix("-") { return }
      let subcommands = command.configuration.subcommands
      if subcommands.isEmpty, !areAllCommands { return }
      // "help" is a command of the first level, of the parser's own.
      if isFirst, word == "help" { return }
      guard let next = subcommands.first(where: { $0._commandName == word }) else {
        let names = subcommands.map { $0._commandName } + (isFirst ? ["help"] : [])
        let list = isFirst ? "`hubaudit help` lists them" : "see `\(path) --help`"
        let hint = Spelling.nearest(to: word, among: names).map { "did you mean \($0)?" } ?? list
        throw CommandFailure(.usage, "there is no command \"\(word)\"\(isFirst ? "" : " of \(path)"); \(hint)")
      }
      command = next
      path += " \(word)"
    }
  }
}

/// `hubaudit version`: the same as `--version`.
struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

  func run() { print(Hubaudit.version) }
}
