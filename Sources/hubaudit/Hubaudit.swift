import ArgumentParser
import Foundation

/// The command. Exit codes: `ExitStatus`.
struct Hubaudit: AsyncParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "hubaudit",
    abstract: "The audit log of agent hubs: append-only, durable before acknowledged, pushed live.",
    discussion: """
      Exit codes: 0 ok, 1 failure, 2 connection, 3 nothing found, 4 verification failed, 5 not permitted, 64 usage, 130 interrupted.
      """,
    version: version,
    subcommands: [
      ServeCommand.self, AppendCommand.self, TailCommand.self, ReadCommand.self, HealthCommand.self, StatsCommand.self,
      InspectCommand.self, KeygenCommand.self, VerifyCommand.self, ProveCommand.self, EraseCommand.self, WitnessCommand.self,
      ImportCommand.self, ExportCommand.self, BenchCommand.self, SchemaCommand.self, ConfigCommand.self, AccessCommand.self,
      TokenCommand.self, CompletionsCommand.self,
      VersionCommand.self,
    ])
}

/// Exit codes.
enum ExitStatus: Int32 {
  case success = 0
  case failure = 1
  case connection = 2
  case nothingFound = 3
  case verificationFailed = 4
  case notPermitted = 5
  case usage = 64
  case interrupted = 130
}

/// One line on standard error, and an exit code.
struct CommandFailure: Error, CustomStringConvertible {
  var status: ExitStatus
  /// What was wrong, where, and what to do; empty if the exit code says it all.
  var description: String

  init(_ status: ExitStatus, _ description: String = "") {
    self.status = status
    self.description = description
  }
}

@main
enum Main {
  static func main() async {
    // A closed pipe is then an error of the write instead of the end of the process.
    signal(SIGPIPE, SIG_IGN)
    do {
      try CommandLineCheck.run(Array(CommandLine.arguments.dropFirst()))
      var command = try Hubaudit.parseAsRoot()
      if var command = command as? any AsyncParsableCommand { try await command.run() } else { try command.run() }
      try StandardOutput.flush()
    } catch let failure as CommandFailure {
      // Output before the failure is still written.
      try? StandardOutput.flush()
      if !failure.description.isEmpty {
        StandardError.write("hubaudit: \(failure.description)\n")
      } else if failure.status == .nothingFound, isatty(STDERR_FILENO) == 1 {
        // A script checks the exit code; a person needs a sentence.
        StandardError.write("hubaudit: nothing found\n")
      }
      exit(failure.status.rawValue)
    } catch {
      Hubaudit.exit(withError: error)
    }
  }
}
