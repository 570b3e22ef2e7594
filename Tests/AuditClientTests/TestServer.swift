import AuditClient
import AuditLog
import AuditSchema
import AuditServer
import AuditTLS
import Logging

/// A real server on a port of its own, over a store in memory.
final class TestServer: Sendable {
  let store: MemoryStore
  let log: AuditLog
  let server: AuditServer
  let port: ReservedPort
  let isTLS: Bool

  /// What it says that it runs with.
  static let settings = [
    ServerSetting(name: "reads", value: "16", source: .builtIn, origin: nil),
    ServerSetting(name: "data", value: "", source: .flag, origin: "--data"),
    ServerSetting(name: "listen", value: "a b", source: .environment, origin: "HUBAUDIT_LISTEN"),
    ServerSetting(name: "long", value: String(repeating: "\u{e9}", count: 3_000), source: .file, origin: "/etc/hubaudit.conf:3"),
  ]

  private init(store: MemoryStore, log: AuditLog, server: AuditServer, port: ReservedPort, isTLS: Bool) {
    self.store = store
    self.log = log
    self.server = server
    self.port = port
    self.isTLS = isTLS
  }

  static func start(
    store: MemoryStore = MemoryStore(), port: ReservedPort = ReservedPort(), log: AuditLogConfiguration = AuditLogConfiguration(),
    tls: TLSFiles? = nil, _ configure: (inout ServerConfiguration) -> Void = { _ in }
  ) async throws -> TestServer {
    var logger = Logger(label: "test.server")
    logger.logLevel = .critical
    let log = try AuditLog(store: store, configuration: log, logger: logger)
    var configuration = ServerConfiguration()
    // Hellos may be late when the machine is busy with other tests.
    configuration.helloTimeout = .seconds(300)
    configuration.addresses = [.tcp(host: "127.0.0.1", port: port.number)]
    configuration.drainTimeout = .milliseconds(200)
    configure(&configuration)
    let server = AuditServer(
      log: log, configuration: configuration, logger: logger, settings: { Self.settings }, tls: try tls.map { try ServerTLS($0) })
    _ = try await server.start()
    return TestServer(store: store, log: log, server: server, port: port, isTLS: tls != nil)
  }

  func stop() async throws {
    try await server.stop()
    try log.close()
  }

  /// Runs `body` with a server and stops it whatever happens.
  static func with<Value: Sendable>(
    store: MemoryStore = MemoryStore(), log: AuditLogConfiguration = AuditLogConfiguration(), tls: TLSFiles? = nil,
    _ configure: (inout ServerConfiguration) -> Void = { _ in }, _ body: (TestServer) async throws -> Value
  ) async throws -> Value {
    let server = try await start(store: store, log: log, tls: tls, configure)
    do {
      let value = try await body(server)
      try await server.stop()
      return value
    } catch {
      try await server.stop()
      throw error
    }
  }

  func configuration(hub: String? = "hub", producer: String? = nil, port: Int? = nil) -> ClientConfiguration {
    let number = port ?? self.port.number
    let address = isTLS ? ServerAddress.tls(host: "127.0.0.1", port: number) : .tcp(host: "127.0.0.1", port: number)
    var configuration = ClientConfiguration(address: address, hub: hub, producer: producer)
    configuration.timeout = .seconds(20)
    configuration.reconnect.minimumDelay = .milliseconds(1)
    configuration.reconnect.maximumDelay = .milliseconds(20)
    return configuration
  }
}

/// For clients that are meant to lose their connection again and again.
let quiet: Logger = {
  var logger = Logger(label: "test.client")
  logger.logLevel = .critical
  return logger
}()

/// An event that a test finds again: its record's JSON is the same text.
func numbered(_ number: Int, padding: Int = 0) -> Event {
  .custom(json: Array(#"{"kind": "test", "number": \#(number), "padding": "\#(String(repeating: "x", count: padding))"}"#.utf8))
}

/// The number of a `numbered` event's record.
func number(of record: Record) throws -> Int? {
  guard let json = try record.json() else { return nil }
  let text = String(decoding: json, as: UTF8.self)
  guard let key = text.firstRange(of: #""number": "#) else { return nil }
  return Int(text[key.upperBound...].prefix { $0.isNumber })
}

/// Waits for a condition that somebody else brings about.
func eventually(within limit: Duration = .seconds(20), _ condition: () async throws -> Bool) async throws -> Bool {
  let deadline = ContinuousClock.now + limit
  while ContinuousClock.now < deadline {
    if try await condition() { return true }
    try await Task.sleep(for: .milliseconds(5))
  }
  return try await condition()
}
