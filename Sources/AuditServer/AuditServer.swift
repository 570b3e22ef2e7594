import AccessControl
import AuditLog
import AuditSchema
import AuditTLS
import Glibc
import Logging
import MerkleTree
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// The audit server: sessions over TCP or a Unix socket, in front of one `AuditLog`.
///
/// The way of a record: `SessionHandler` cuts frames out of the received bytes. `Session` decodes each in place and translates its events into
/// the open batch of its `EventLoopShard` (one for each event loop). After the loop has read from all its sockets, the shard submits the batch
/// to the log's sequencer. When the commit is durable, the shard is woken once; it answers the appends, then pushes to its subscriptions.
public final class AuditServer: Sendable {
  /// How many connections over the limit get an error and the time to read it. Further ones are closed at once.
  public static let refusedConnections = 64

  /// Settings that are told, at most: with the longest values they stay within the smallest frame limit.
  public static let maxSettings = 100

  public let configuration: ServerConfiguration
  package let log: AuditLog
  let logger: Logger
  let started = ContinuousClock.now
  let connections = OpenConnections()
  let subscriptions = Atomic<Int>(0)
  let readers: NIOThreadPool
  let scanMemory: ScanMemory
  /// Of lines about what peers did.
  let lines = LogAllowance()
  let ends = PeerEnds()
  private let draining = Atomic<Bool>(false)
  private let isWriterAsked = Atomic<Bool>(false)

  private let group: MultiThreadedEventLoopGroup
  let shards: [ObjectIdentifier: EventLoopShard]
  private let listeners = Mutex<[any Channel]>([])

  /// `nil`: the server asks nobody who they are.
  package let access: ServerAccess?
  private let tls: ServerTLS?
  private let settings: @Sendable () -> [ServerSetting]
  private let witnesses: @Sendable () -> [WitnessHealth]

  /// - Parameters:
  ///   - log: open. The caller closes it, after `stop`.
  ///   - settings: what a client is told that asks for them. No secrets, and at most `maxSettings`.
  ///   - witnesses: how it stands with those that cosign the log's checkpoints.
  ///   - access: who may do what; `nil`: everybody may do everything.
  ///   - tls: for addresses of TCP; `nil`: plaintext. Unix sockets have none.
  public init(
    log: AuditLog, configuration: ServerConfiguration, logger: Logger, settings: @escaping @Sendable () -> [ServerSetting] = { [] },
    witnesses: @escaping @Sendable () -> [WitnessHealth] = { [] }, access: ServerAccess? = nil, tls: ServerTLS? = nil
  ) {
    self.access = access
    self.tls = tls
    self.settings = settings
    self.witnesses = witnesses
    self.log = log
    self.configuration = configuration
    self.logger = logger
    group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.eventLoops)
    readers = NIOThreadPool(numberOfThreads: configuration.readThreads)
    scanMemory = ScanMemory(pieces: configuration.readThreads)
    var shards: [ObjectIdentifier: EventLoopShard] = [:]
    for loop in group.makeIterator() {
      shards[ObjectIdentifier(loop)] = EventLoopShard(loop: loop, log: log, configuration: configuration, logger: logger, readers: readers)
    }
    self.shards = shards
  }

  /// When the server's certificate expires, in Unix ns; `nil` without TLS.
  package var certificateExpiresAt: UInt64? { tls?.expiresAt }

  /// The protocol that clients name in the TLS handshake.
  var frameProtocol: String { ServerTLS.frameProtocol }

  /// Takes another access file. Connections that it lets in go on, with the rights that it gives; the others end. Returns when all are judged.
  ///
  /// - Parameters:
  ///   - judge: `nil`: the one in force stays.
  ///   - isRootRemoved: whether a root of clients' certificates is trusted no more: whoever showed a certificate must connect again.
  package func reload(_ judge: (any AccessJudge)?, isRootRemoved: Bool = false) async {
    if let judge { access?.replace(judge) }
    for judging in shards.values.map({ $0.judgeAgain(isRootRemoved: isRootRemoved) }) {
      // It fails when the server has stopped: then there are no connections.
      try? await judging.get()
    }
  }

  var isDraining: Bool { draining.load(ordering: .acquiring) }

  /// Calls `alive` about every `interval` for as long as the log is well: an event loop asks, and the writer thread answers when it comes round,
  /// which it does not while a commit hangs. One question is under way at a time.
  ///
  /// - Parameter alive: on the writer thread, which must not wait in it.
  public func watchWriter(every interval: Duration, alive: @escaping @Sendable () -> Void) {
    group.next().scheduleRepeatedTask(initialDelay: .zero, delay: TimeAmount(interval)) { [self] _ in
      guard !isWriterAsked.exchange(true, ordering: .relaxed) else { return }
      _ = log.sequencer.whenRound { [self] in
        isWriterAsked.store(false, ordering: .relaxed)
        alive()
      }
    }
  }

  /// Listens and serves. Returns the addresses in use, with the ports that were picked.
  ///
  /// - Throws: `ListenFailure` when one of the addresses cannot be had. The server has stopped then.
  public func start() async throws -> [ServerConfiguration.Address] {
    readers.start()
    for shard in shards.values {
      try await shard.start(server: self)
      log.sequencer.add(shard)
    }
    group.next().scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { [log] _ in
      log.watchClock()
      log.trail.look()
    }
    var bound: [ServerConfiguration.Address] = []
    for address in configuration.addresses {
      do { bound.append(try await listen(at: address)) } catch {
        // Nobody is served at the addresses before it.
        _ = try? await stop()
        throw ListenFailure(address: address, cause: error)
      }
    }
    return bound
  }

  private func listen(at address: ServerConfiguration.Address) async throws -> ServerConfiguration.Address {
    switch address {
    case .tcp(let host, let port):
      let channel = try await bootstrap(tls).bind(host: host, port: port).get()
      listeners.withLock { $0.append(channel) }
      return .tcp(host: host, port: channel.localAddress?.port ?? port)
    case .unix(let path):
      // If nobody answers, a killed server left the socket file. If somebody answers, the file is another server's.
      if (try? await ClientBootstrap(group: group).connect(unixDomainSocketPath: path).get().close().get()) != nil {
        throw IOError(errnoCode: EADDRINUSE, reason: "another server listens at \(path)")
      }
      let channel = try await bootstrap(nil).withBoundSocket(UnixSocket.bind(path, mode: configuration.unixMode)).get()
      listeners.withLock { $0.append(channel) }
      return address
    }
  }

  private func bootstrap(_ tls: ServerTLS?) -> ServerBootstrap {
    ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelInitializer { channel in
        // Where the process may open no more files, accepting waits a second instead of trying for ever.
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(AcceptBackoffHandler()) }
      }
      .childChannelOption(.writeBufferWaterMark, value: .init(low: 256 << 10, high: 1 << 20))
      .childChannelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 2048, initial: 16384, maximum: 256 << 10))
      .childChannelOption(.maxMessagesPerRead, value: 2)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .childChannelInitializer { [self] channel in
        channel.eventLoop.makeCompletedFuture {
          if !PeerSocket.isUnix(channel), let options = channel.syncOptions {
            try PeerSocket.configure(options, keepaliveTimeout: configuration.keepaliveTimeout)
          }
          let shard = shards[ObjectIdentifier(channel.eventLoop)]!
          let linger = tls.map { _ in AlertLingerHandler() }
          if let tls, let linger {
            try channel.pipeline.syncOperations.addHandlers(linger, NIOSSLServerHandler(context: tls.frameContext))
          }
          try channel.pipeline.syncOperations.addHandler(SessionHandler(server: self, shard: shard, linger: linger))
        }
      }
  }

  /// Stops in good order: takes no new connections, stores and answers the appends under way, tells readers and subscribers, closes all
  /// connections.
  ///
  /// - Returns: false when peers had to be cut off at `drainTimeout`.
  @discardableResult
  public func stop() async throws -> Bool {
    draining.store(true, ordering: .releasing)
    let open = listeners.withLock { listeners in
      defer { listeners = [] }
      return listeners
    }
    for channel in open { try await channel.close().get() }
    let deadline = ContinuousClock.now + configuration.drainTimeout
    for shard in shards.values { shard.drain() }
    let clean = await connections.none(before: deadline)
    if !clean {
      for shard in shards.values { try await shard.closeAll().get() }
    }
    for shard in shards.values { log.sequencer.remove(shard) }
    try await group.shutdownGracefully()
    try await readers.shutdownGracefully()
    return clean
  }

  public var appendDurations: DurationHistogram.Snapshot { log.sequencer.appendDurations.snapshot }
  public var syncDurations: DurationHistogram.Snapshot { log.store.status.syncDurations }

  /// The answer to a `health` request.
  public func health() -> Health {
    var health = Health()
    let status = log.store.status
    let counts = log.sequencer.counts
    if isDraining {
      health.status = .draining
      health.reasons.append("the server is shutting down")
    } else if let failure = status.appendFailure {
      health.status = .degraded
      health.reasons.append(failure.message)
    }
    health.server = configuration.software
    health.logID = log.store.start.logID
    health.firstSequence = log.store.start.firstSequence
    health.nextSequence = log.nextSequence
    health.logBytes = status.bytes
    health.segments = UInt64(status.segments)
    health.uptimeNanoseconds = UInt64((ContinuousClock.now - started) / .nanoseconds(1))
    health.recordsAppended = counts.records
    health.commits = counts.commits
    health.connections = UInt32(connections.count)
    health.subscriptions = UInt32(max(0, subscriptions.load(ordering: .relaxed)))
    health.tornBytes = status.tornBytes
    health.tornFile = status.tornFile
    health.scrubbedRecords = status.scrub.records
    health.scrubbedBytes = status.scrub.bytes
    health.scrubRounds = status.scrub.rounds
    health.damage = status.scrub.findings
    (health.clockSteps, health.clockStep) = log.clock.status
    let checkpoint = log.newestCheckpoint
    health.checkpointSize = checkpoint?.size
    health.checkpointStoredAt = checkpoint?.storedAt
    health.signer = log.configuration.signingKeys.first?.verifier.name
    health.witnesses = witnesses()
    if log.configuration.asksForQuorum {
      let quorum = log.quorumCheckpoint
      health.quorum = Health.Quorum(size: quorum?.size ?? 0, storedAt: quorum?.storedAt)
    }
    health.scrubEndedAt = status.scrub.rounds > 0 ? status.scrub.roundEndedAt : nil
    health.now = log.now()
    return health
  }

  /// What the `settings` request tells.
  func currentSettings() -> [ServerSetting] { Array(settings().prefix(Self.maxSettings)) }
}
