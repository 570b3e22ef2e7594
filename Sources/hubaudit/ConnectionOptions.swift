import ArgumentParser
import AuditClient
import AuditSchema
import Foundation
import HubauditSettings
import NIOCore

/// How to reach a server, and what to show it. The secret itself is never a flag: every process of the machine can read the command lines of
/// all.
struct ServerOptions: ParsableArguments {
  @Option(
    name: [.short, .long],
    help: "Address of the server: host:port, hubaudits://host:port (TLS) or unix:PATH (or HUBAUDIT_SERVER; default 127.0.0.1:7411).")
  var server: String?
  @Option(help: "How long to wait for a connection and for an answer, such as 500ms or 5s (or HUBAUDIT_TIMEOUT).")
  var timeout: String?
  @OptionGroup var credentials: CredentialOptions
}

/// The options of a command that connects.
protocol ConnectionArguments {
  var options: ServerOptions { get }
  /// File of the private key of `--cert`.
  var key: String? { get }
}

/// The same for every command that talks to a server, but for those that take verifier keys.
struct ConnectionOptions: ParsableArguments, ConnectionArguments {
  @OptionGroup var options: ServerOptions
  @Option(
    name: [.long, .customLong("cert-key")], help: "The private key of --cert, without a passphrase (or HUBAUDIT_KEY).", completion: .file())
  var key: String?
}

/// For commands whose `--key` is a verifier key.
struct ProofConnectionOptions: ParsableArguments, ConnectionArguments {
  @OptionGroup var options: ServerOptions
  @Option(name: .customLong("cert-key"), help: "The private key of --cert, without a passphrase (or HUBAUDIT_KEY).", completion: .file())
  var key: String?
}

extension ConnectionArguments {
  var server: String? { options.server }

  func configuration(hub: String? = nil, producer: String? = nil) throws -> ClientConfiguration {
    var configuration = try ConnectionOptions.configuration(
      server: server, timeout: options.timeout, credentials: options.credentials, key: key)
    configuration.hub = hub
    configuration.producer = producer
    return configuration
  }

  func connect(hub: String? = nil) async throws -> AuditClient {
    try await ConnectionOptions.connect(try configuration(hub: hub))
  }
}

extension ConnectionOptions {
  /// The configuration from the options' values, and the environment's for those that are `nil`.
  static func configuration(
    server: String?, timeout: String?, credentials: CredentialOptions, key: String?
  ) throws -> ClientConfiguration {
    let environment = ProcessInfo.processInfo.environment
    let address: ServerAddress
    do {
      address = try ServerAddress(parsing: server ?? environment["HUBAUDIT_SERVER"] ?? "127.0.0.1:7411")
    } catch {
      throw CommandFailure(.usage, "\(error)")
    }
    var configuration = ClientConfiguration(address: address)
    configuration.client = "hubaudit \(Hubaudit.version)"
    try credentials.fill(&configuration, key: key, environment)
    if let text = timeout ?? environment["HUBAUDIT_TIMEOUT"] {
      guard let duration = Amount.duration(text), duration > .zero else {
        throw CommandFailure(.usage, "--timeout: \"\(text)\" is not a time such as 500ms or 5s")
      }
      configuration.timeout = duration
    }
    return configuration
  }

  /// Connects, with one event loop.
  static func connect(_ configuration: ClientConfiguration) async throws -> AuditClient {
    try FileLimit.require(FileLimit.client + FileLimit.eventLoop)
    NIOSingletons.groupLoopCountSuggestion = 1
    return try await Self.reporting {
      do {
        return try await AuditClient.connect(configuration)
      } catch let error as ClientError where error.code == .refused(.unauthenticated) && !CredentialOptions.areGiven(configuration) {
        throw CommandFailure(error.exitStatus, "\(error.message); give a client certificate (--cert and --key) or a token (--token-file)")
      }
    }
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
    case .refused(.notPermitted), .refused(.unauthenticated), .refused(.credentialExpired): .notPermitted
    case .refused(.historyDiffers), .otherLog: .verificationFailed
    case .refused, .queueFull: .failure
    case .invalidAddress, .invalidConfiguration, .credentialFile: .usage
    case .cancelled: .interrupted
    default: .connection
    }
  }
}
