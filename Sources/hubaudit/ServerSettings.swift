import AuditClient
import AuditHTTP
import AuditLog
import AuditSchema
import AuditServer
import AuditTLS
import Foundation
import HubauditSettings
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

  /// - Throws: `CommandFailure` with usage status for an address that cannot be used, and for a key or policy that cannot be read.
  init(_ settings: Settings) throws {
    takeSecurity(settings)
    try takeAddresses(settings)
    takeLimits(settings)
    takeStore(settings)
    takeLog(settings)
    try takeKeys(settings)
    witnessRoots = settings.path("witness-cacert")
    log.witnesses = try settings.path("witnesses").map { try PolicyFile.read($0) }
  }

  private mutating func takeSecurity(_ settings: Settings) {
    access = settings.path("access")
    if let mode = ReadAuditing(rawValue: settings.text("audit-reads")) { log.readAuditing = mode }
    guard let certificate = settings.path("tls-cert"), let key = settings.path("tls-key") else { return }
    tls = TLSFiles(certificate: certificate, key: key, clientCA: settings.path("client-ca"))
    tls?.isKeyGroupReadable = settings.flag("key-group-readable")
  }

  private mutating func takeLimits(_ settings: Settings) {
    server.software = "hubaudit \(Hubaudit.version)"
    server.limits.frameBytes = UInt64(settings.number("frame-bytes"))
    server.limits.recordBytes = UInt64(settings.number("record-bytes"))
    server.limits.appendEvents = UInt32(settings.number("append-events"))
    server.limits.pendingAppendBytes = UInt64(settings.number("pending-append-bytes"))
    server.limits.subscriptions = UInt32(settings.number("subscriptions"))
    server.limits.reads = UInt32(settings.number("reads"))
    server.limits.creditBytes = UInt64(settings.number("credit-bytes"))
    server.limits.filterValues = UInt32(settings.number("filter-values"))
    server.limits.filterBytes = UInt32(settings.number("filter-bytes"))
    server.limits.hubProducers = UInt32(settings.number("hub-producers"))
    server.connections = settings.number("connections")
    server.helloTimeout = settings.duration("hello-timeout")
    server.frameTimeout = settings.duration("frame-timeout")
    server.writeTimeout = settings.duration("write-timeout")
    server.creditTimeout = settings.duration("credit-timeout")
    server.drainTimeout = settings.duration("drain-timeout")
    server.keepaliveTimeout = settings.duration("keepalive-timeout")
    server.eventLoops = settings.number("event-loops")
    server.receiveBytes = settings.number("receive-bytes")
    server.sendBytes = settings.number("send-bytes")
    server.allFilterBytes = settings.number("all-filter-bytes")
    server.readThreads = settings.number("read-threads")
    http.connections = settings.number("http-connections")
    httpHosts = settings.list("http-hosts")
    isEvidencePublic = settings.flag("public-evidence")
  }

  private mutating func takeStore(_ settings: Settings) {
    store.segmentBytes = UInt64(settings.number("segment-bytes"))
    store.maxRecordBytes = settings.number("record-bytes")
    store.scrubBytesPerSecond = UInt64(settings.number("scrub-bytes"))
    store.scrubPause = settings.duration("scrub-pause")
    store.searchIndexBytesPerSecond = UInt64(settings.number("search-bytes"))
    store.checkpoints = settings.path("checkpoints")
  }

  private mutating func takeLog(_ settings: Settings) {
    log.recordBytes = settings.number("record-bytes")
    log.queueBytes = settings.number("queue-bytes")
    log.decodeBytes = settings.number("decode-bytes")
    log.tailBytes = settings.number("tail-bytes")
    log.producers = settings.number("producers")
    log.hubProducers = settings.number("hub-producers")
    log.producerJump = UInt64(settings.number("producer-jump"))
    log.acceptsNewKey = settings.flag("accept-new-key")
    log.checkpointInterval = settings.duration("checkpoint-interval")
    log.checkpointsPerSecond = settings.number("checkpoint-rate")
  }

  // MARK: - Keys

  private mutating func takeKeys(_ settings: Settings) throws {
    let paths = settings.list("signing-key")
    let origin = settings.text("origin")
    if settings.flag("make-key") { firstKey = try FirstKey(path: paths[0], origin: origin, given: settings.origin("make-key")) }
    guard firstKey == nil else { return }
    log.signingKeys = try paths.map { try KeyFile.read($0, isGroupReadable: settings.flag("key-group-readable")) }
    store.origin = log.signingKeys.first?.verifier.name
    if !origin.isEmpty, let key = log.signingKeys.first(where: { $0.verifier.name != origin }) {
      throw CommandFailure(.usage, "\(settings.origin("origin")): the log's name is to be \(origin), and the key's is \(key.verifier.name)")
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

  // MARK: - Addresses

  private mutating func takeAddresses(_ settings: Settings) throws {
    let origin = settings.origin("listen")
    server.addresses = []
    for text in settings.list("listen") {
      let address = try address(settings, "listen", text)
      guard !server.addresses.contains(address) || address.isAnyPort else {
        throw CommandFailure(.usage, "\(origin): \(address) stands there twice")
      }
      server.addresses.append(address)
    }
    guard !server.addresses.isEmpty else { throw CommandFailure(.usage, "\(origin): no address to listen at") }
    if let mode = UInt32(settings.text("unix-mode"), radix: 8) { server.unixMode = mode }
    guard settings.text("http-listen") != "off" else { return }
    guard case .tcp(let host, let port) = try address(settings, "http-listen", settings.text("http-listen")) else {
      throw CommandFailure(.usage, "\(settings.origin("http-listen")): HTTP goes over TCP; give host:port or off")
    }
    httpAddress = (host, port)
  }

  private mutating func address(_ settings: Settings, _ name: String, _ text: String) throws -> ServerConfiguration.Address {
    let origin = settings.origin(name)
    let address: ServerAddress
    do { address = try ServerAddress(parsing: text, ports: 0...65535) } catch { throw CommandFailure(.usage, "\(origin): \(error)") }
    switch address {
    case .unix(let path): return .unix(path: path)
    case .tls: throw CommandFailure(.usage, "\(origin): an address to listen at has no scheme; write \(text.dropFirst(12))")
    case .tcp(let host, let port):
      let found: ListenAddress
      do { found = try ListenAddress(host: host, port: port) } catch { throw CommandFailure(.usage, "\(origin): \(error)") }
      let isSecure = access != nil && tls != nil
      guard found.isLoopback || isSecure || settings.flag("insecure-listen") else {
        let meaning = found.first == host ? "" : ", which is \(found.first),"
        throw CommandFailure(
          .usage,
          "\(origin): \(host)\(meaning) is not a loopback address, and everybody who reaches it could read and append; give "
            + "--access, --tls-cert and --tls-key (hubaudit access init), or --insecure-listen if the network is trusted")
      }
      if !found.isLoopback, !isSecure {
        insecureAddresses.append("\(ServerConfiguration.Address.tcp(host: found.first, port: port))")
      }
      return .tcp(host: found.first, port: port)
    }
  }
}

extension ServerConfiguration.Address {
  fileprivate var isAnyPort: Bool { if case .tcp(_, 0) = self { true } else { false } }
}
