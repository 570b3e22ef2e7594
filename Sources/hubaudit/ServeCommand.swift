import ArgumentParser
import AuditConsole
import AuditHTTP
import AuditLog
import AuditServer
import AuditWitness
import Foundation
import Logging
import SegmentStore

/// `hubaudit serve`: the server on its embedded store.
struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Run the audit server.",
    discussion: """
      Every setting has a flag, an environment variable (HUBAUDIT_ and its name in capitals) and a key in the configuration file; a flag \
      wins over the environment, the environment over the file. `hubaudit config show` lists them all with their values.

      SIGTERM and SIGINT drain: no new connections, appends under way are stored and answered, subscribers are told, exit 0; a second \
      signal or the drain timeout ends with exit 1. SIGHUP reads the log level again.
      """)

  @OptionGroup var options: SettingOptions

  func run() async throws {
    let settings = try options.settings()
    let output = try LogOutput(settings: settings)
    let logger = output.logger("hubaudit")

    var configuration = try ServerSettings(settings)
    configuration.server.connections = connectionsWithinFileLimit(configuration.server.connections, logger)
    let store: SegmentStore
    let log: AuditLog
    let cosignatures: CosignatureCollector?
    do {
      store = try SegmentStore.open(directory: settings.text("data"), configuration: configuration.store, logger: logger)
      log = try AuditLog(store: store, configuration: configuration.log, logger: logger)
      try await log.settle()
      if configuration.log.signingKeys.isEmpty, log.newestCheckpoint != nil {
        logger.warning(
          "the log was signed before and is not now: no key was given (--signing-key); new records are covered by no checkpoint")
      }
    } catch {
      throw CommandFailure(.failure, "cannot open the log in \(settings.text("data")): \(error)")
    }
    do {
      cosignatures = try CosignatureCollector(log: log, logger: logger)
    } catch {
      try log.close()
      throw CommandFailure(.usage, "\(settings.text("witnesses")): \(error)")
    }
    let server = AuditServer(log: log, configuration: configuration.server, logger: logger)
    let signals = Signals([SIGTERM, SIGINT, SIGHUP])
    let address: ServerConfiguration.Address
    do {
      address = try await server.start()
    } catch {
      try log.close()
      throw CommandFailure(
        .failure, "cannot listen on \(configuration.server.address): \(error.reason); is another server there? see --listen")
    }
    let console = AuditConsole(
      health: { server.health() }, details: { ServerMetrics.details(server, cosignatures) },
      metrics: { ServerMetrics.current(server, cosignatures) }, evidence: TiledLog(log))
    let http = HTTPListener(
      limits: configuration.http, hosts: HostNames(configuration.httpHosts), logger: logger, respond: { console.respond(to: $0) })
    var httpAddress = "off"
    if let (host, port) = configuration.console {
      do {
        httpAddress = "\(ServerConfiguration.Address.tcp(host: host, port: try await http.start(host: host, port: port)))"
      } catch {
        try await server.stop()
        try log.close()
        throw CommandFailure(.failure, "cannot listen on \(host):\(port) for HTTP: \(error.reason); see --http-listen")
      }
    }
    cosignatures?.start()
    logger.notice(
      "ready",
      metadata: [
        "listen": "\(address)", "http_listen": "\(httpAddress)", "data": "\(settings.text("data"))", "next_sequence": "\(log.nextSequence)",
        "origin": "\(configuration.log.signingKeys.first?.verifier.name ?? "unsigned")", "version": "\(Hubaudit.version)",
      ])
    ServiceManager.notify("READY=1")

    for await signal in signals.received {
      if signal == SIGHUP {
        do {
          try output.setLevel(try options.settings())
          logger.notice("log level read again")
        } catch {
          logger.error("the settings cannot be read again; everything stays as it is", metadata: ["reason": "\(error)"])
        }
        continue
      }
      break
    }
    logger.notice("draining")
    ServiceManager.notify("STOPPING=1")
    let impatient = Task {
      for await signal in signals.received where signal != SIGHUP {
        logger.error("second signal: ending at once")
        Foundation.exit(ExitStatus.failure.rawValue)
      }
    }
    let clean = try await server.stop()
    impatient.cancel()
    try await http.stop()
    try await cosignatures?.stop()
    try log.close()
    logger.notice("stopped", metadata: ["clean": "\(clean)", "next_sequence": "\(log.nextSequence)"])
    if !clean { throw CommandFailure(.failure) }
  }
}

/// Lets the process have as many files as it may. Where those are too few for `connections`, it takes fewer, so that the log always finds
/// a file for its next segment.
private func connectionsWithinFileLimit(_ connections: Int, _ logger: Logger) -> Int {
  var limit = rlimit()
  guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return connections }
  limit.rlim_cur = limit.rlim_max
  setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  // Segments, indexes, HTTP, sockets to listen on, and connections that are told that there is no room.
  let others = 256 + AuditServer.refusedConnections
  let allowed = max(1, Int(clamping: limit.rlim_max) - others)
  guard allowed < connections else { return connections }
  logger.warning(
    "the process may open fewer files than its connections need, so it takes fewer; raise the limit (ulimit -n) or lower --connections",
    metadata: ["files": "\(limit.rlim_max)", "connections": "\(allowed)"])
  return allowed
}

/// `hubaudit config show`: what is in force, and why.
struct ConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config", abstract: "Look at the server's settings.", subcommands: [Show.self], defaultSubcommand: Show.self)

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show", abstract: "Print every setting with its value and where it comes from.")

    @OptionGroup var options: SettingOptions

    func run() throws {
      let settings = try options.settings()
      _ = try ServerSettings(settings)
      let width = Settings.all.map(\.name.count).max()!
      for setting in Settings.all {
        let value = settings.values[setting.name]!
        let name = setting.name.padding(toLength: width, withPad: " ", startingAt: 0)
        print("\(name)  \(value.text)  # \(value.source.rawValue)\(value.source == .builtIn ? "" : ": \(value.origin)"). \(setting.help)")
      }
    }
  }
}
