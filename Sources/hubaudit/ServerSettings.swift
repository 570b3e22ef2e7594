import AuditClient
import AuditHTTP
import AuditLog
import AuditServer
import AuditTLS
import Foundation
import MerkleTree
import SegmentStore

/// The settings as configurations of the server's parts.
struct ServerSettings {
  var server = ServerConfiguration()
  var log = AuditLogConfiguration()
  var store = SegmentStoreConfiguration()
  /// `nil`: plaintext.
  var tls: TLSFiles?
  /// The access file; `nil`: everybody may do everything.
  var access: String?
  /// Addresses other than loopback where everybody may do everything, or where others may read what is sent.
  private(set) var insecureAddresses: [String] = []
  /// `nil`: no HTTP.
  var httpAddress: (host: String, port: Int)?
  var http = HTTPLimits()
  /// Names, besides `localhost`, that `Host` may have.
  var httpHosts: [String] = []
  /// Whether everybody may have checkpoints and hashes over HTTP.
  var isEvidencePublic = false
  /// The roots of witnesses' certificates; `nil`: the system's.
  var witnessRoots: String?
  /// The key that is to be made, where its file is missing.
  private var firstKey: FirstKey?

  /// - Throws: `CommandFailure` with usage status that names the setting, its value and what is allowed.
  init(_ settings: Settings) throws {
    try takeSecurity(settings)
    server.addresses = []
    for text in settings.text("listen").split(separator: ",").map({ $0.trimmingCharacters(in: .whitespaces) }) {
      let listen = try address(settings, "listen", text)
      guard !server.addresses.contains(listen) || listen.isAnyPort else {
        throw CommandFailure(.usage, "\(settings.values["listen"]!.origin): \(listen) stands there twice")
      }
      server.addresses.append(listen)
    }
    guard !server.addresses.isEmpty else { throw CommandFailure(.usage, "\(settings.values["listen"]!.origin): no address to listen at") }
    guard let mode = UInt32(settings.text("unix-mode"), radix: 8), [0o600, 0o660, 0o666].contains(mode) else {
      throw CommandFailure(.usage, "\(settings.values["unix-mode"]!.origin): \"\(settings.text("unix-mode"))\" is none of 0600, 0660, 0666")
    }
    server.unixMode = mode
    if settings.text("http-listen") != "off" {
      guard case .tcp(let host, let port) = try address(settings, "http-listen", settings.text("http-listen")) else {
        throw CommandFailure(.usage, "\(settings.values["http-listen"]!.origin): HTTP goes over TCP; give host:port or off")
      }
      httpAddress = (host, port)
    }
    http.connections = try settings.integer("http-connections", in: 1...100_000)
    httpHosts = settings.text("http-hosts").split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    isEvidencePublic = try settings.flag("public-evidence")
    server.software = "hubaudit \(Hubaudit.version)"
    let frameBytes = try settings.integer("frame-bytes", in: 524_288...33_554_432)
    server.limits.frameBytes = UInt64(frameBytes)
    log.recordBytes = try settings.integer("record-bytes", in: 1024...frameBytes - 4096)
    server.limits.recordBytes = UInt64(log.recordBytes)
    // The answer to a re-sent append may have to name a sequence of 8 bytes for each event, in one frame.
    server.limits.appendEvents = UInt32(try settings.integer("append-events", in: 1...min(1_000_000, (frameBytes - 4096) / 8)))
    server.limits.pendingAppendBytes = UInt64(try settings.integer("pending-append-bytes", in: 65_536...1 << 30))
    server.limits.subscriptions = UInt32(try settings.integer("subscriptions", in: 0...100_000))
    server.limits.reads = UInt32(try settings.integer("reads", in: 0...10_000))
    server.limits.creditBytes = UInt64(try settings.integer("credit-bytes", in: 65_536...1 << 40))
    server.limits.filterValues = UInt32(try settings.integer("filter-values", in: 1...100_000))
    server.limits.filterBytes = UInt32(try settings.integer("filter-bytes", in: 256...1 << 24))
    server.connections = try settings.integer("connections", in: 1...1_000_000)
    server.helloTimeout = try settings.duration("hello-timeout")
    server.frameTimeout = try settings.duration("frame-timeout")
    server.writeTimeout = try settings.duration("write-timeout")
    server.creditTimeout = try settings.duration("credit-timeout")
    server.drainTimeout = try settings.duration("drain-timeout")
    server.keepaliveTimeout = try settings.duration("keepalive-timeout")
    server.eventLoops = try settings.integer("event-loops", in: 1...256)
    // Each event loop's share must have room for at least one whole frame.
    server.receiveBytes = try settings.integer("receive-bytes", in: 4 * frameBytes * server.eventLoops...1 << 40)
    server.sendBytes = try settings.integer("send-bytes", in: 4 * frameBytes * server.eventLoops...1 << 40)
    server.allFilterBytes = try settings.integer("all-filter-bytes", in: 1 << 20...1 << 40)
    server.readThreads = try settings.integer("read-threads", in: 1...256)
    log.queueBytes = try settings.integer("queue-bytes", in: 1 << 20...1 << 34)
    log.decodeBytes = try settings.integer("decode-bytes", in: 1 << 20...1 << 34)
    log.tailBytes = try settings.integer("tail-bytes", in: 65_536...1 << 34)
    log.producers = try settings.integer("producers", in: 8...150_000)
    log.hubProducers = try settings.integer("hub-producers", in: 1...150_000)
    server.limits.hubProducers = UInt32(log.hubProducers)
    log.producerJump = UInt64(try settings.integer("producer-jump", in: 0...1 << 40))
    store.segmentBytes = UInt64(try settings.integer("segment-bytes", in: 65_536...1 << 40))
    store.maxRecordBytes = log.recordBytes
    store.scrubBytesPerSecond = UInt64(try settings.integer("scrub-bytes", in: 0...1 << 40))
    store.scrubPause = try settings.duration("scrub-pause")
    store.searchIndexBytesPerSecond = UInt64(try settings.integer("search-bytes", in: 0...1 << 40))
    if !settings.text("checkpoints").isEmpty { store.checkpoints = settings.text("checkpoints") }
    try takeKeys(settings)
    log.acceptsNewKey = try settings.flag("accept-new-key")
    log.checkpointInterval = try settings.duration("checkpoint-interval")
    log.checkpointsPerSecond = try settings.integer("checkpoint-rate", in: 1...10_000)
    if !settings.text("witness-cacert").isEmpty { witnessRoots = settings.text("witness-cacert") }
    if !settings.text("witnesses").isEmpty { log.witnesses = try Self.policy(settings) }
  }

  private mutating func takeKeys(_ settings: Settings) throws {
    let paths = settings.text("signing-key").split(separator: ",").map(String.init)
    let isGroupReadable = try settings.flag("key-group-readable")
    let origin = settings.text("origin")
    if try settings.flag("make-key") {
      let given = settings.values["make-key"]!.origin
      guard paths.count == 1 else {
        throw CommandFailure(.usage, "\(given) goes with one key file (--signing-key), and \(paths.count) are named")
      }
      firstKey = try FirstKey(path: paths[0], origin: origin, given: given)
    }
    guard firstKey == nil else { return }
    log.signingKeys = try paths.map { try KeyFile.read($0, isGroupReadable: isGroupReadable) }
    store.origin = log.signingKeys.first?.verifier.name
    if !origin.isEmpty, let key = log.signingKeys.first(where: { $0.verifier.name != origin }) {
      throw CommandFailure(
        .usage, "\(settings.values["origin"]!.origin): the log's name is to be \(origin), and the key's is \(key.verifier.name)")
    }
  }

  /// Makes the key that is missing, when nothing stands in the way of a start but that.
  ///
  /// - Returns: the key that was made; `nil` where none was to be.
  mutating func makeFirstKey(data: String) throws -> SignerKey? {
    guard let key = try firstKey?.make(data: data, checkpoints: store.checkpoints) else { return nil }
    log.signingKeys = [key]
    store.origin = key.verifier.name
    return key
  }

  private static func policy(_ settings: Settings) throws -> TrustPolicy {
    let path = settings.text("witnesses")
    let origin = settings.values["witnesses"]!.origin
    guard !settings.text("signing-key").isEmpty else {
      throw CommandFailure(.usage, "\(origin): witnesses cosign what the log has signed; give --signing-key too")
    }
    return try PolicyFile.read(path)
  }

  private mutating func takeSecurity(_ settings: Settings) throws {
    func path(_ name: String) -> String? { settings.text(name).isEmpty ? nil : settings.text(name) }
    func origin(_ name: String) -> String { settings.values[name]!.origin }
    access = path("access")
    guard let mode = ReadAuditing(rawValue: settings.text("audit-reads")) else {
      throw CommandFailure(.usage, "\(origin("audit-reads")): \"\(settings.text("audit-reads"))\" is neither best-effort nor required")
    }
    log.readAuditing = mode
    switch (path("tls-cert"), path("tls-key")) {
    case (nil, nil): break
    case (let certificate?, let key?):
      tls = TLSFiles(certificate: certificate, key: key, clientCA: path("client-ca"))
      tls?.isKeyGroupReadable = try settings.flag("key-group-readable")
    case (_?, nil): throw CommandFailure(.usage, "\(origin("tls-cert")): a certificate needs its private key; give --tls-key too")
    case (nil, _?): throw CommandFailure(.usage, "\(origin("tls-key")): a private key needs its certificate; give --tls-cert too")
    }
    guard path("client-ca") != nil else { return }
    guard tls != nil else {
      throw CommandFailure(.usage, "\(origin("client-ca")): clients show certificates over TLS only; give --tls-cert and --tls-key too")
    }
    guard access != nil else {
      throw CommandFailure(.usage, "\(origin("client-ca")): without an access file nobody asks whose a certificate is; give --access too")
    }
  }

  private mutating func address(_ settings: Settings, _ name: String, _ text: String) throws -> ServerConfiguration.Address {
    let origin = settings.values[name]!.origin
    let address: ServerAddress
    do {
      address = try ServerAddress(parsing: text, ports: 0...65535)
    } catch {
      throw CommandFailure(.usage, "\(origin): \(error)")
    }
    switch address {
    case .unix(let path): return .unix(path: path)
    case .tls: throw CommandFailure(.usage, "\(origin): an address to listen at has no scheme; write \(text.dropFirst(12))")
    case .tcp(let host, let port):
      let found: ListenAddress
      do { found = try ListenAddress(host: host, port: port) } catch { throw CommandFailure(.usage, "\(origin): \(error)") }
      guard try found.isLoopback || access != nil && tls != nil || settings.flag("insecure-listen") else {
        let meaning = found.first == host ? "" : ", which is \(found.first),"
        throw CommandFailure(
          .usage,
          "\(origin): \(host)\(meaning) is not a loopback address, and everybody who reaches it could read and append; give "
            + "--access, --tls-cert and --tls-key (hubaudit access init), or --insecure-listen if the network is trusted")
      }
      if !found.isLoopback, access == nil || tls == nil {
        insecureAddresses.append("\(ServerConfiguration.Address.tcp(host: found.first, port: port))")
      }
      return .tcp(host: found.first, port: port)
    }
  }
}

extension ServerConfiguration.Address {
  fileprivate var isAnyPort: Bool { if case .tcp(_, 0) = self { true } else { false } }
}
