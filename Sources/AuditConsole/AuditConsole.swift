import AuditLog
import AuditSchema
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// The log over HTTP, for operators and auditors.
///
/// - `/livez`: 200 while the process answers.
/// - `/readyz`: 200 when the log takes appends, otherwise 503; `?verbose` lists the checks.
/// - `/healthz`: as `/readyz`, and 503 also when something on disk was found damaged.
/// - `/metrics`: Prometheus text format 0.0.4.
/// - `/checkpoint`, `/tile/...`: the log as a tiled transparency log (C2SP tlog-tiles).
///
/// It asks for a `Health` and `Metrics` at every request and knows nothing of the server behind them.
public final class AuditConsole: Sendable {
  /// Connections at a time.
  private static let connections = 128

  private let health: @Sendable () -> Health
  private let metrics: @Sendable () -> [Metric]
  private let evidence: TiledLog?
  private let logger: Logger
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let listener = Mutex<(any Channel)?>(nil)

  /// - Parameter evidence: `nil` for a log without a tree.
  public init(
    health: @escaping @Sendable () -> Health, metrics: @escaping @Sendable () -> [Metric], evidence: TiledLog?, logger: Logger
  ) {
    self.evidence = evidence
    self.health = health
    self.metrics = metrics
    self.logger = logger
  }

  /// Listens; returns the port in use.
  ///
  /// - Throws: when the address cannot be had.
  public func start(host: String, port: Int) async throws -> Int {
    // Oldest first; on the one event loop of the group.
    let open = NIOLoopBoundBox.makeBoxSendingValue([any Channel](), eventLoop: group.next())
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(AcceptBackoffHandler()) }
      }
      .childChannelInitializer { [self] channel in
        channel.eventLoop.makeCompletedFuture {
          // The oldest makes room: whoever holds connections keeps no health check away.
          open.value.append(channel)
          channel.closeFuture.assumeIsolated().whenComplete { _ in open.value.removeAll { $0 === channel } }
          if open.value.count > Self.connections { open.value[0].close(promise: nil) }
          try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
          try channel.pipeline.syncOperations.addHandler(IdleConnectionCloser())
          try channel.pipeline.syncOperations.addHandler(ConsoleHandler(console: self))
        }
      }
    let channel = try await bootstrap.bind(host: host, port: port).get()
    listener.withLock { $0 = channel }
    return channel.localAddress?.port ?? port
  }

  public func stop() async throws {
    if let channel = listener.withLock({ $0.take() }) { try await channel.close().get() }
    try await group.shutdownGracefully()
  }

  struct Answer {
    var status: HTTPResponseStatus
    var contentType = "text/plain; charset=utf-8"
    var cacheControl = "no-store"
    var body: [UInt8]

    init(status: HTTPResponseStatus, contentType: String = "text/plain; charset=utf-8", cacheControl: String = "no-store", body: [UInt8]) {
      self.status = status
      self.contentType = contentType
      self.cacheControl = cacheControl
      self.body = body
    }

    init(status: HTTPResponseStatus, contentType: String = "text/plain; charset=utf-8", body: String) {
      self.init(status: status, contentType: contentType, body: Array(body.utf8))
    }
  }

  func answer(method: HTTPMethod, uri: String) -> Answer {
    guard method == .GET || method == .HEAD else {
      return Answer(status: .methodNotAllowed, body: "\(method.rawValue) is not answered here; use GET\n")
    }
    let parts = uri.split(separator: "?", maxSplits: 1)
    switch parts.first.map(String.init) ?? "/" {
    case "/livez": return Answer(status: .ok, body: "ok\n")
    case "/readyz": return readiness(damage: false, isVerbose: parts.count > 1 && parts[1].split(separator: "&").contains("verbose"))
    case "/healthz": return readiness(damage: true, isVerbose: parts.count > 1 && parts[1].split(separator: "&").contains("verbose"))
    case "/metrics":
      return Answer(status: .ok, contentType: "text/plain; version=0.0.4; charset=utf-8", body: Metric.text(of: metrics()))
    case "/checkpoint": return evidence?.checkpoint() ?? TiledLog.missing
    case let path where path.hasPrefix("/tile/"): return evidence?.tile(String(path.dropFirst())) ?? TiledLog.missing
    default:
      return Answer(status: .notFound, body: "not found; there are /livez, /readyz, /healthz, /metrics, /checkpoint and /tile\n")
    }
  }

  private func readiness(damage countsDamage: Bool, isVerbose: Bool) -> Answer {
    let health = health()
    let damage = countsDamage ? health.damage : []
    let isGood = health.status == .ok && damage.isEmpty
    var body = isGood ? "ok\n" : health.reasons.map { "not ready: \($0)\n" }.joined() + damage.map { "damaged: \($0)\n" }.joined()
    if isVerbose {
      let appends = health.status == .ok ? "[+] appends ok\n" : health.reasons.map { "[-] appends: \($0)\n" }.joined()
      let disk = health.damage.isEmpty ? "[+] disk ok\n" : health.damage.map { "[-] disk: \($0)\n" }.joined()
      body = "[+] process ok\n" + appends + disk + (isGood ? "ready\n" : "not ready\n")
    }
    return Answer(status: isGood ? .ok : .serviceUnavailable, body: body)
  }
}

/// One request after the other on a connection.
private final class ConsoleHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let console: AuditConsole
  private var head: HTTPRequestHead?

  init(console: AuditConsole) { self.console = console }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body: break
    case .end:
      guard let head else { return }
      let answer = console.answer(method: head.method, uri: head.uri)
      let body = context.channel.allocator.buffer(bytes: answer.body)
      var headers = HTTPHeaders()
      headers.add(name: "Content-Type", value: answer.contentType)
      headers.add(name: "Content-Length", value: "\(body.readableBytes)")
      headers.add(name: "Cache-Control", value: answer.cacheControl)
      headers.add(name: "X-Content-Type-Options", value: "nosniff")
      if !head.isKeepAlive { headers.add(name: "Connection", value: "close") }
      context.write(wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: answer.status, headers: headers))), promise: nil)
      if head.method != .HEAD { context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
      let channel = context.channel
      context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
        if !head.isKeepAlive { channel.close(promise: nil) }
      }
      self.head = nil
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Ends connections on which nothing comes: nobody may hold them for ever.
private final class IdleConnectionCloser: ChannelInboundHandler {
  typealias InboundIn = NIOAny
  private static let limit = TimeAmount.seconds(30)
  private var deadline: Scheduled<Void>?

  func channelActive(context: ChannelHandlerContext) {
    arm(context)
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    arm(context)
    context.fireChannelRead(data)
  }

  func channelInactive(context: ChannelHandlerContext) {
    deadline?.cancel()
    context.fireChannelInactive()
  }

  private func arm(_ context: ChannelHandlerContext) {
    deadline?.cancel()
    let channel = NIOLoopBound(context.channel, eventLoop: context.eventLoop)
    deadline = context.eventLoop.scheduleTask(in: Self.limit) { channel.value.close(promise: nil) }
  }
}
