import AuditTLS
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// An HTTP listener. Its caller makes the answers.
public final class HTTPListener: Sendable {
  /// Maximum bytes of one read from a socket, and of what is decoded at once: how far a connection may send ahead.
  private static let readBytes = 4096
  /// The socket's send buffer, in bytes: how much of an answer the kernel takes before the peer does.
  private static let kernelBytes: CInt = 128 << 10
  /// Maximum number of connections that the kernel holds until they are accepted.
  private static let backlog: CInt = 256
  /// Time between two checks of the deadlines.
  private static let deadlineStep = TimeAmount.milliseconds(100)

  let limits: HTTPLimits
  let hosts: HostNames?
  let logger: Logger
  let workers: NIOThreadPool
  /// `nil`: plaintext.
  let tls: ServerTLS?
  let refusals: HTTPRefusals
  let respond: @Sendable (HTTPRequest) -> HTTPResponding
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let listener = Mutex<(any Channel)?>(nil)
  private let endAll = Mutex<(@Sendable () -> EventLoopFuture<Void>)?>(nil)

  /// - Parameters:
  ///   - hosts: the allowed `Host` names, and no requests of other sites' pages; `nil`: any, for a listener that serves only public data.
  ///   - tls: new connections use its context in force; `nil`: plaintext.
  ///   - refusals: counts what is turned away; `nil`: nobody asks for the counts.
  ///   - respond: called on the event loop; it must not block.
  public init(
    limits: HTTPLimits, hosts: HostNames?, logger: Logger, tls: ServerTLS? = nil,
    refusals: HTTPRefusals? = nil,
    respond: @escaping @Sendable (HTTPRequest) -> HTTPResponding
  ) {
    self.limits = limits
    self.hosts = hosts
    self.tls = tls
    self.refusals = refusals ?? HTTPRefusals(logger: logger)
    self.logger = logger
    self.respond = respond
    workers = NIOThreadPool(numberOfThreads: limits.workers)
  }

  /// Listens, and returns the port.
  ///
  /// - Parameter port: 0 for any free port.
  /// - Throws: if the address cannot be bound.
  public func start(host: String, port: Int) async throws -> Int {
    workers.start()
    let loop = group.next()
    let table = NIOLoopBoundBox.makeBoxSendingValue(HTTPConnections(limits: limits, logger: logger), eventLoop: loop)
    loop.scheduleRepeatedTask(initialDelay: Self.deadlineStep, delay: Self.deadlineStep) { _ in table.value.endOverdue() }
    endAll.withLock { $0 = { loop.submit { table.value.endAll() } } }
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: Self.backlog)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(AcceptBackoffHandler()) }
      }
      .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: Self.readBytes))
      .childChannelOption(.maxMessagesPerRead, value: 1)
      .childChannelOption(.socketOption(.so_sndbuf), value: SocketOptionValue(Self.kernelBytes))
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .childChannelInitializer { [self] channel in
        channel.eventLoop.makeCompletedFuture {
          var decoding = NIOHTTPDecoderLimitConfiguration()
          decoding.maxHeaderFieldSize = limits.headBytes
          decoding.maxHeaderListSize = limits.headBytes
          decoding.maxHeaderFieldCount = limits.headFields
          let connection = HTTPConnection(listener: self, table: table.value, channel: channel)
          let input = HTTPInput(connection, pieceBytes: Self.readBytes)
          connection.input = input
          let pipeline = channel.pipeline.syncOperations
          if let tls {
            try pipeline.addHandlers([PlaintextGuard(connection), NIOSSLServerHandler(context: tls.httpContext)])
          }
          try pipeline.addHandlers([
            input, HTTPResponseEncoder(),
            ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: decoding)),
            HTTPServerPipelineHandler(), connection,
          ])
        }
      }
    let channel = try await bootstrap.bind(host: host, port: port).get()
    listener.withLock { $0 = channel }
    return channel.localAddress?.port ?? port
  }

  /// Stops listening, waits for the running workers, and closes all connections. Unsent answers are lost.
  public func stop() async throws {
    if let channel = listener.withLock({ $0.take() }) { try await channel.close().get() }
    try await workers.shutdownGracefully()
    // Hard: an orderly end of TLS waits for the peer.
    try await endAll.withLock { $0 }?().get()
    try await group.shutdownGracefully()
  }
}
