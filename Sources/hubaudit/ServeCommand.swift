import AccessControl
import AdminHTTP
import ArgumentParser
import AuditHTTP
import AuditLog
import AuditServer
import AuditWitness
import Foundation
import HubauditSettings
import Logging
import MerkleTree
import SegmentStore
import Synchronization

/// `hubaudit serve`: the server on its embedded store.
struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Run the audit server.",
    discussion: """
      Every setting has a flag, an environment variable (HUBAUDIT_ and its name in capitals) and a key in the configuration file; a flag \
      wins over the environment, the environment over the file. `hubaudit config show` lists them all with their values.

      SIGTERM and SIGINT drain: no new connections, appends under way are stored and answered, subscribers are told, exit 0; a second \
      signal or the drain timeout ends with exit 1. SIGHUP reads the log level, the access file and the files of TLS again.
      """)

  @OptionGroup var options: SettingOptions

  func run() async throws {
    var settings = try options.settings()
    let output = try LogOutput(settings: settings)
    let logger = output.logger("hubaudit")

    var configuration = try ServerSettings(settings)
    // Event loops for the wire, HTTP and witnesses; the log's files; connections.
    try FileLimit.require((configuration.server.eventLoops + 2) * FileLimit.eventLoop + FileLimit.server)
    try DirectoryArgument.check(settings.text("data"), settings.origin("data"))
    let connections = connectionsWithinFileLimit(configuration.server.connections, logger)
    if connections < configuration.server.connections {
      configuration.server.connections = connections
      settings.lower("connections", to: connections, since: "as many as the process may open files for")
    }
    try checkAddresses(configuration)
    let security = try await ServerSecurity(configuration)
    if let key = try configuration.makeFirstKey(data: settings.text("data")) {
      logger.warning(
        """
        made the key that signs this log; back its file up, apart from the log, and give the verifier key to everybody who is to check the \
        log: without the key nothing can be signed any more, and whoever has it can sign for you
        """,
        metadata: ["key": "\(settings.text("signing-key"))", "verifier_key": "\(key.verifier)"])
    }
    let store: SegmentStore
    let log: AuditLog
    let cosignatures: CosignatureCollector?
    do {
      store = try SegmentStore.open(directory: settings.text("data"), configuration: configuration.store, logger: logger)
      log = try AuditLog(store: store, configuration: configuration.log, logger: logger)
      try await log.finishOpening()
      if configuration.log.signingKeys.isEmpty, log.newestCheckpoint != nil {
        logger.warning(
          "the log was signed before and is not now: no key was given (--signing-key); new records are covered by no checkpoint")
      }
    } catch {
      throw CommandFailure(.failure, "cannot open the log in \(settings.text("data")): \(error)")
    }
    do {
      cosignatures = try CosignatureCollector(log: log, rootsFile: configuration.witnessRoots, logger: logger)
    } catch {
      try log.close()
      throw CommandFailure(.usage, "\(settings.text("witnesses")): \(error)")
    }
    try await security.recordStart(log, configuration, logger)
    let running = Mutex(settings)
    let server = AuditServer(
      log: log, configuration: configuration.server, logger: logger, settings: { running.withLock { $0.told } },
      witnesses: { cosignatures?.health ?? [] }, access: security.access, tls: security.tls)
    let signals = Signals([SIGTERM, SIGINT, SIGHUP])
    let addresses: [ServerConfiguration.Address]
    do {
      addresses = try await server.start()
    } catch let failure as ListenFailure {
      try log.close()
      throw cannotListen([failure.address], failure.cause)
    }
    let disk = DiskRoom(path: settings.text("data"))
    let refusals = HTTPRefusals(logger: logger) { server.refused(AuthenticationFailure(.handshake, $0)) }
    let responder = AdminHTTPResponder(
      health: { server.health() }, details: { health in HealthLines.lines(health).map { "[ ] \($0.name): \($0.text)" } },
      metrics: { ServerMetrics.current(server, cosignatures, disk, refusals) }, evidence: TiledLog(log),
      access: security.adminAccess(server, isEvidencePublic: configuration.isEvidencePublic, logger))
    let http = HTTPListener(
      limits: configuration.http, hosts: HostNames(configuration.httpHosts), logger: logger, tls: security.tls,
      refusals: refusals, respond: { responder.respond(to: $0) })
    var httpAddress = "off"
    if let (host, port) = configuration.httpAddress {
      do {
        httpAddress = "\(ServerConfiguration.Address.tcp(host: host, port: try await http.start(host: host, port: port)))"
      } catch {
        try await server.stop()
        try log.close()
        throw cannotListenForHTTP(host, port, error)
      }
    }
    cosignatures?.start()
    logger.notice(
      "ready",
      metadata: [
        "listen": "\(list(addresses))", "http_listen": "\(httpAddress)",
        "data": "\(settings.text("data"))", "next_sequence": "\(log.nextSequence)",
        "origin": "\(configuration.log.signingKeys.first?.verifier.name ?? "unsigned")", "version": "\(Hubaudit.version)",
      ])
    SystemdNotifier.notify("READY=1")
    if let interval = SystemdNotifier.watchdogInterval {
      server.watchWriter(every: interval) { SystemdNotifier.notify("WATCHDOG=1", isPatient: false) }
    }

    let watch = security.watch(server, logger)
    defer { watch.cancel() }
    for await signal in signals.received {
      if signal == SIGHUP {
        await security.reload(server, logger)
        do {
          let new = try options.settings()
          try output.setLevel(new)
          let old = running.withLock { running in
            defer { running.take("log-level", from: new) }
            return running.text("log-level")
          }
          if old != new.text("log-level"), security.access != nil {
            try await log.trail.settingChanged(name: "log-level", from: old, to: new.text("log-level"))
          }
          logger.notice("log level read again")
        } catch {
          logger.error("the settings cannot be read again; everything stays as it is", metadata: ["reason": "\(error)"])
        }
        continue
      }
      break
    }
    logger.notice("draining")
    SystemdNotifier.notify("STOPPING=1")
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

/// Checks the addresses first: a server that cannot listen makes and opens no log.
private func checkAddresses(_ configuration: ServerSettings) throws {
  for address in configuration.server.addresses {
    do { try ListenCheck.run(address) } catch { throw cannotListen([address], error) }
  }
  guard let (host, port) = configuration.httpAddress else { return }
  do { try ListenCheck.run(.tcp(host: host, port: port)) } catch { throw cannotListenForHTTP(host, port, error) }
}

private func list(_ addresses: [ServerConfiguration.Address]) -> String { addresses.map(\.description).joined(separator: ", ") }

private func cannotListen(_ addresses: [ServerConfiguration.Address], _ error: any Error) -> CommandFailure {
  CommandFailure(.failure, "cannot listen on \(list(addresses)): \(error.reason); is another server there? see --listen")
}

private func cannotListenForHTTP(_ host: String, _ port: Int, _ error: any Error) -> CommandFailure {
  let address = ServerConfiguration.Address.tcp(host: host, port: port)
  return CommandFailure(.failure, "cannot listen on \(address) for HTTP: \(error.reason); is another server there? see --http-listen")
}

/// Raises the limit of open files. If it is too low for `connections`, reduces these, so that the log always has a file for its next segment.
private func connectionsWithinFileLimit(_ connections: Int, _ logger: Logger) -> Int {
  let limit = FileLimit.raise()
  // Segments, indexes, HTTP, sockets to listen on, and connections that are told that there is no room.
  let others = 256 + AuditServer.refusedConnections
  let allowed = max(1, limit - others)
  guard allowed < connections else { return connections }
  logger.warning(
    "the process may open fewer files than its connections need, so it takes fewer; raise the limit (ulimit -n) or lower --connections",
    metadata: ["files": "\(limit)", "connections": "\(allowed)"])
  return allowed
}
