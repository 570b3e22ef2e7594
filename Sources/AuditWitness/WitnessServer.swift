import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A witness over HTTP.
///
/// - `POST /add-checkpoint`: submits a checkpoint, answers the cosignature.
/// - `GET /<sha256 of the origin in hex>/checkpoint`: what was cosigned last.
///
/// Whoever reaches it may ask: only checkpoints that a known log has signed are acted on.
public final class WitnessServer: Sendable {
  /// Bytes of a request's body; a checkpoint with its proof and a dozen signatures has some 6,000.
  public static let maxBodyBytes = 128 << 10
  /// From the connection, or the last answer, to the end of a request.
  static let requestLimit = TimeAmount.seconds(30)
  /// Connections at a time.
  static let maxConnections = 1000

  let witness: Witness
  let logger: Logger
  /// Syncs block: they are not for the event loop.
  let disk = NIOThreadPool(numberOfThreads: 4)
  let connections = Atomic<Int>(0)
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let listener = Mutex<(any Channel)?>(nil)

  public init(_ witness: Witness, logger: Logger) {
    self.witness = witness
    self.logger = logger
  }

  /// Listens; returns the port in use.
  ///
  /// - Throws: when the address cannot be had.
  public func start(host: String, port: Int) async throws -> Int {
    disk.start()
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { [self] channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          try pipeline.configureHTTPServerPipeline(withErrorHandling: true)
          try pipeline.addHandler(NIOHTTPServerRequestAggregator(maxContentLength: Self.maxBodyBytes))
          try pipeline.addHandler(WitnessHandler(self))
        }
      }
    let channel = try await bootstrap.bind(host: host, port: port).get()
    listener.withLock { $0 = channel }
    return channel.localAddress?.port ?? port
  }

  /// Ends when what is under way is on disk. Answers that are not out are lost; the log asks again.
  public func stop() async throws {
    if let channel = listener.withLock({ $0.take() }) { try await channel.close().get() }
    try await disk.shutdownGracefully()
    try await group.shutdownGracefully()
  }

  /// What is answered to a request; blocks.
  func answer(_ method: HTTPMethod, _ uri: String, _ body: [UInt8]) -> Witness.Answer {
    let path = uri.prefix { $0 != "?" }
    if path == "/add-checkpoint" {
      guard method == .POST else { return Witness.Answer(status: 405, body: "use POST\n") }
      let answer = witness.addCheckpoint(body)
      record(answer)
      return answer
    }
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0].isEmpty, parts[2] == "checkpoint" else {
      return Witness.Answer(status: 404, body: "not found; there are /add-checkpoint and /<sha256 of the origin in hex>/checkpoint\n")
    }
    guard method == .GET || method == .HEAD else { return Witness.Answer(status: 405, body: "use GET\n") }
    guard let note = witness.checkpoint(originHash: parts[1]) else {
      return Witness.Answer(status: 404, body: "no checkpoint was cosigned of a log whose origin has this hash\n")
    }
    return Witness.Answer(status: 200, body: note)
  }

  /// One line for every submission.
  private func record(_ answer: Witness.Answer) {
    var metadata: Logger.Metadata = ["status": "\(answer.status)"]
    if let origin = answer.origin { metadata["origin"] = "\(origin)" }
    if let size = answer.size { metadata["size"] = "\(size)" }
    if let size = answer.cosignedSize { metadata["cosigned_size"] = "\(size)" }
    guard answer.status != 200 else { return logger.info("cosigned", metadata: metadata) }
    metadata["reason"] = "\(answer.body.prefix { $0 != "\n" })"
    if let refused = answer.refused { metadata["checkpoint"] = "\(refused)" }
    if answer.isEvidence {
      // With what is remembered anybody can see it.
      logger.critical("a log has signed another root for the size that was cosigned last", metadata: metadata)
    } else if answer.refused != nil {
      logger.error(
        """
        a checkpoint that a log has signed was submitted without a proof that it continues the one that was cosigned last; if the log itself \
        submitted it, it has another past
        """,
        metadata: metadata)
    } else if answer.status == 500 {
      logger.error("not cosigned", metadata: metadata)
    } else if answer.status == 409 {
      logger.info("told what is cosigned", metadata: metadata)
    } else {
      logger.notice("refused", metadata: metadata)
    }
  }
}

/// One request after the other on a connection.
private final class WitnessHandler: ChannelInboundHandler {
  typealias InboundIn = NIOHTTPServerRequestFull
  typealias OutboundOut = HTTPServerResponsePart

  private let server: WitnessServer
  private var deadline: Scheduled<Void>?
  private var isCounted = false

  init(_ server: WitnessServer) { self.server = server }

  func channelActive(context: ChannelHandlerContext) {
    isCounted = true
    let count = server.connections.add(1, ordering: .relaxed).newValue
    guard count <= WitnessServer.maxConnections else {
      server.logger.warning("too many connections; the newest is closed", metadata: ["limit": "\(WitnessServer.maxConnections)"])
      return context.close(promise: nil)
    }
    arm(context)
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    deadline?.cancel()
    if isCounted { server.connections.subtract(1, ordering: .relaxed) }
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    deadline?.cancel()
    let request = unwrapInboundIn(data)
    let head = request.head
    let body = request.body.map { Array($0.readableBytesView) } ?? []
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    server.disk.runIfActive(eventLoop: context.eventLoop) { [server] in server.answer(head.method, head.uri, body) }
      .whenComplete { result in
        let (handler, context) = bound.value
        guard context.channel.isActive, case .success(let answer) = result else { return context.close(promise: nil) }
        handler.write(answer, to: head, context)
      }
  }

  private func write(_ answer: Witness.Answer, to head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    var headers = HTTPHeaders()
    headers.add(name: "Content-Type", value: answer.contentType)
    headers.add(name: "Content-Length", value: "\(answer.body.utf8.count)")
    headers.add(name: "Cache-Control", value: "no-store")
    headers.add(name: "X-Content-Type-Options", value: "nosniff")
    if !head.isKeepAlive { headers.add(name: "Connection", value: "close") }
    let status = HTTPResponseStatus(statusCode: answer.status)
    context.write(wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: status, headers: headers))), promise: nil)
    if head.method != .HEAD {
      context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(string: answer.body)))), promise: nil)
    }
    let channel = context.channel
    context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
      if !head.isKeepAlive { channel.close(promise: nil) }
    }
    arm(context)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // The aggregator has answered it, and passes over the rest of the body.
    if error as? NIOHTTPObjectAggregatorError == .frameTooLong { return }
    context.close(promise: nil)
  }

  private func arm(_ context: ChannelHandlerContext) {
    let channel = NIOLoopBound(context.channel, eventLoop: context.eventLoop)
    deadline = context.eventLoop.scheduleTask(in: WitnessServer.requestLimit) { channel.value.close(promise: nil) }
  }
}
