import ArgumentParser
import AuditClient
import AuditSchema
import HubauditSettings

/// `hubaudit config show`: what is in force, and why.
struct ConfigCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config", abstract: "Look at the server's settings.", subcommands: [Show.self], defaultSubcommand: Show.self)

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show", abstract: "Print every setting with its value and where it comes from, as --config reads it.",
      discussion: """
        Without --server these are the settings that `hubaudit serve` would start with here. With it they are those that the server at that \
        address runs with: it is asked.
        """)

    @OptionGroup var options: SettingOptions
    @Option(name: [.short, .long], help: "Ask the server at this address: host:port, hubaudits://host:port (TLS) or unix:PATH.") var server:
      String?
    @Option(help: "How long to wait for a connection and for an answer, such as 500ms or 5s (or HUBAUDIT_TIMEOUT).") var timeout: String?

    @OptionGroup var credentials: CredentialOptions
    @Option(name: .customLong("cert-key"), help: "The private key of --cert, without a passphrase (or HUBAUDIT_KEY).", completion: .file())
    var certKey: String?

    func run() async throws {
      guard let server else {
        if let given = credentials.firstGiven ?? certKey.map({ _ in "--cert-key" }) {
          throw CommandFailure(.usage, "\(given) is for asking a server that runs; give --server too")
        }
        let settings = try options.settings()
        _ = try ServerSettings(settings)
        return print(settings.told)
      }
      if let given = options.given.keys.sorted().first ?? (options.config.map { _ in "config" }) {
        throw CommandFailure(.usage, "--\(given) is of a server that is to be started, and --server asks one that runs; give one of them")
      }
      let configuration = try ConnectionOptions.configuration(server: server, timeout: timeout, credentials: credentials, key: certKey)
      let client = try await ConnectionOptions.connect(configuration)
      let settings = try await ConnectionOptions.reporting { try await client.settings() }
      await client.close()
      print(settings)
    }

    private func print(_ settings: [ServerSetting]) {
      let lines = settings.map { TerminalText.escaped(SettingFile.line($0.name, $0.value)) }
      let width = lines.map { min($0.count, 48) }.max() ?? 0
      for (setting, line) in zip(settings, lines) {
        let padding = String(repeating: " ", count: max(0, width - line.count))
        let origin = setting.origin.map { ": \(TerminalText.escaped($0))" } ?? ""
        let help = Settings.all.first { $0.name == setting.name }.map { " \($0.fullHelp)" } ?? ""
        Swift.print("\(line)\(padding)  # \(setting.source.name)\(origin).\(help)")
      }
    }
  }
}
