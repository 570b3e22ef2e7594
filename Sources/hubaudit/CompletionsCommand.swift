import ArgumentParser

/// `hubaudit completions SHELL`: a completion script on standard output.
struct CompletionsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "completions", abstract: "Write a completion script for bash, zsh or fish to standard output.")

  @Argument(help: "bash, zsh or fish.", completion: .list(["bash", "zsh", "fish"])) var shell: String

  func run() throws {
    guard let shell = CompletionShell(rawValue: shell) else {
      throw CommandFailure(.usage, "\"\(shell)\" is not bash, zsh or fish")
    }
    print(Hubaudit.completionScript(for: shell))
  }
}
