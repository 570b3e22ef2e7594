import ArgumentParser
import AuditClient
import AuditSchema
import Foundation
import NIOCore

/// How to reach a server; the same for every command that talks to one.
struct ConnectionOptions: ParsableArguments {
  @Option(name: [.short, .long], help: "Address of the server: host:port or unix:PATH (or HUBAUDIT_SERVER; default 127.0.0.1:7411).")
  var server: String?
  @Option(help: "How long to wait for a connection and for an answer, such as 500ms or 5s (or HUBAUDIT_TIMEOUT).")
  var timeout: String?

  func configuration(hub: String? = nil, producer: String? = nil) throws -> ClientConfiguration {
    let environment = ProcessInfo.processInfo.environment
    let address: ServerAddress
    do {
      address = try ServerAddress(parsing: server ?? environment["HUBAUDIT_SERVER"] ?? "127.0.0.1:7411")
    } catch {
      throw CommandFailure(.usage, "\(error)")
    }
    var configuration = ClientConfiguration(address: address)
    configuration.hub = hub
    configuration.producer = producer
    configuration.client = "hubaudit \(Hubaudit.version)"
    if let text = timeout ?? environment["HUBAUDIT_TIMEOUT"] {
      guard let duration = Settings.duration(text), duration > .zero else {
        throw CommandFailure(.usage, "--timeout: \"\(text)\" is not a time such as 500ms or 5s")
      }
      configuration.timeout = duration
    }
    return configuration
  }

  func connect(hub: String? = nil) async throws -> AuditClient {
    try await Self.connect(try configuration(hub: hub))
  }

  /// Connects, with one event loop.
  static func connect(_ configuration: ClientConfiguration) async throws -> AuditClient {
    try FileLimit.require(FileLimit.client + FileLimit.eventLoop)
    NIOSingletons.groupLoopCountSuggestion = 1
    return try await Self.reporting { try await AuditClient.connect(configuration) }
  }

  /// Turns client errors into `CommandFailure`s with the right exit code.
  static func reporting<Value>(_ body: () async throws -> Value) async throws -> Value {
    do {
      return try await body()
    } catch let error as ClientError {
      throw CommandFailure(error.exitStatus, error.message)
    } catch let error as RequestError {
      throw CommandFailure(.failure, error.message)
    }
  }
}

extension ClientError {
  var exitStatus: ExitStatus {
    switch code {
    case .refused(.notPermitted): .notPermitted
    case .refused(.historyDiffers), .otherLog: .verificationFailed
    case .refused, .queueFull: .failure
    case .invalidAddress: .usage
    case .cancelled: .interrupted
    default: .connection
    }
  }
}
