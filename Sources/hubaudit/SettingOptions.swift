import ArgumentParser
import Foundation
import HubauditSettings

/// The flags of `serve` and `config show`: one for each of `Settings.all`, which has their help and defaults.
struct SettingOptions: ParsableArguments {
  @Option(help: "Configuration file: name = value lines (or HUBAUDIT_CONFIG).", completion: .file()) var config: String?
  @Option(help: .setting("data"), completion: .directory) var data: String?
  @Option(help: .setting("listen")) var listen: String?
  @Option(help: .setting("unix-mode")) var unixMode: String?
  @Option(help: .setting("http-listen")) var httpListen: String?
  @Option(help: .setting("http-hosts")) var httpHosts: String?
  @Option(parsing: .unconditional, help: .setting("http-connections")) var httpConnections: String?
  @Flag(help: .setting("public-evidence")) var publicEvidence = false
  @Flag(help: .setting("insecure-listen")) var insecureListen = false
  @Option(help: .setting("access"), completion: .file()) var access: String?
  @Option(help: .setting("audit-reads")) var auditReads: String?
  @Option(help: .setting("tls-cert"), completion: .file()) var tlsCert: String?
  @Option(help: .setting("tls-key"), completion: .file()) var tlsKey: String?
  @Option(help: .setting("client-ca"), completion: .file()) var clientCa: String?
  @Option(help: .setting("log-format")) var logFormat: String?
  @Option(help: .setting("log-level")) var logLevel: String?
  @Option(help: .setting("signing-key"), completion: .file()) var signingKey: String?
  @Flag(help: .setting("make-key")) var makeKey = false
  @Option(help: .setting("origin")) var origin: String?
  @Flag(help: .setting("key-group-readable")) var keyGroupReadable = false
  @Flag(help: .setting("accept-new-key")) var acceptNewKey = false
  @Option(help: .setting("checkpoint-interval")) var checkpointInterval: String?
  @Option(parsing: .unconditional, help: .setting("checkpoint-rate")) var checkpointRate: String?
  @Option(help: .setting("checkpoints"), completion: .directory) var checkpoints: String?
  @Option(help: .setting("witnesses"), completion: .file()) var witnesses: String?
  @Option(help: .setting("witness-cacert"), completion: .file()) var witnessCacert: String?
  @Option(parsing: .unconditional, help: .setting("scrub-bytes")) var scrubBytes: String?
  @Option(parsing: .unconditional, help: .setting("scrub-pause")) var scrubPause: String?
  @Option(parsing: .unconditional, help: .setting("search-bytes")) var searchBytes: String?
  @Option(parsing: .unconditional, help: .setting("segment-bytes")) var segmentBytes: String?
  @Option(parsing: .unconditional, help: .setting("frame-bytes")) var frameBytes: String?
  @Option(parsing: .unconditional, help: .setting("record-bytes")) var recordBytes: String?
  @Option(parsing: .unconditional, help: .setting("append-events")) var appendEvents: String?
  @Option(parsing: .unconditional, help: .setting("pending-append-bytes")) var pendingAppendBytes: String?
  @Option(parsing: .unconditional, help: .setting("queue-bytes")) var queueBytes: String?
  @Option(parsing: .unconditional, help: .setting("decode-bytes")) var decodeBytes: String?
  @Option(parsing: .unconditional, help: .setting("tail-bytes")) var tailBytes: String?
  @Option(parsing: .unconditional, help: .setting("producers")) var producers: String?
  @Option(parsing: .unconditional, help: .setting("hub-producers")) var hubProducers: String?
  @Option(parsing: .unconditional, help: .setting("producer-jump")) var producerJump: String?
  @Option(parsing: .unconditional, help: .setting("connections")) var connections: String?
  @Option(parsing: .unconditional, help: .setting("receive-bytes")) var receiveBytes: String?
  @Option(parsing: .unconditional, help: .setting("send-bytes")) var sendBytes: String?
  @Option(parsing: .unconditional, help: .setting("subscriptions")) var subscriptions: String?
  @Option(parsing: .unconditional, help: .setting("reads")) var reads: String?
  @Option(parsing: .unconditional, help: .setting("credit-bytes")) var creditBytes: String?
  @Option(parsing: .unconditional, help: .setting("filter-values")) var filterValues: String?
  @Option(parsing: .unconditional, help: .setting("filter-bytes")) var filterBytes: String?
  @Option(parsing: .unconditional, help: .setting("all-filter-bytes")) var allFilterBytes: String?
  @Option(parsing: .unconditional, help: .setting("hello-timeout")) var helloTimeout: String?
  @Option(parsing: .unconditional, help: .setting("frame-timeout")) var frameTimeout: String?
  @Option(parsing: .unconditional, help: .setting("write-timeout")) var writeTimeout: String?
  @Option(parsing: .unconditional, help: .setting("keepalive-timeout")) var keepaliveTimeout: String?
  @Option(parsing: .unconditional, help: .setting("credit-timeout")) var creditTimeout: String?
  @Option(parsing: .unconditional, help: .setting("drain-timeout")) var drainTimeout: String?
  @Option(parsing: .unconditional, help: .setting("event-loops")) var eventLoops: String?
  @Option(parsing: .unconditional, help: .setting("read-threads")) var readThreads: String?

  /// The settings whose flags were given, with their values. The flags are this type's properties, by their names.
  var given: [String: String] {
    var given: [String: String] = [:]
    for child in Mirror(reflecting: self).children {
      guard let property = child.label?.dropFirst() else { continue }
      let name = property.map { $0.isUppercase ? "-\($0.lowercased())" : String($0) }.joined()
      switch child.value {
      case let option as Option<String?> where name != "config": given[name] = option.wrappedValue
      case let flag as Flag<Bool>: given[name] = flag.wrappedValue ? "true" : nil
      default: break
      }
    }
    return given
  }

  /// Flags over environment over file over defaults.
  ///
  /// - Throws: `CommandFailure` with usage status for a file that cannot be read, and for a value that is not allowed.
  func settings() throws -> Settings {
    do { return try Settings(flags: given, file: config, environment: ProcessInfo.processInfo.environment) } catch {
      throw CommandFailure(.usage, error.description)
    }
  }
}

extension ArgumentHelp {
  /// What the table of settings says.
  fileprivate static func setting(_ name: String) -> ArgumentHelp {
    guard let setting = Settings.all.first(where: { $0.name == name }) else { preconditionFailure("there is no setting \(name)") }
    return ArgumentHelp(stringLiteral: setting.fullHelp)
  }
}
