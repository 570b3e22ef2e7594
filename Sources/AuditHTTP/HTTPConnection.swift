import NIOCore
import NIOHTTP1

/// Reports the first bytes of a request to the connection, before the decoder has a head.
final class ArrivalHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let connection: HTTPConnection

  init(_ connection: HTTPConnection) { self.connection = connection }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    connection.bytesArrived()
    context.fireChannelRead(data)
  }
}

/// A connection: one request after the other. Confined to the listener's event loop.
///
/// `HTTPServerPipelineHandler`, before it in the pipeline, stops reading at the end of a request until the end of its answer is written.
/// This handler writes that end only when the kernel has taken the rest of the answer.
final class HTTPConnection: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private enum Phase {
    /// No byte of the next request has arrived.
    case idle
    case head
    case body
    /// The request is complete and its answer is being made.
    case working
    case answering
    /// The last answer is sent. The peer gets time to read it: closing with unread input would reset the connection.
    case lingering
    case ended
  }

  /// Maximum time for a peer to close the connection after the last answer.
  private static let lingerTimeout = TimeAmount.seconds(2)

  private let listener: HTTPListener
  private let table: HTTPConnections
  private let channel: any Channel
  private var phase = Phase.idle
  private var head: HTTPRequestHead?
  private var body: [UInt8] = []
  /// Whether the peer has closed its sending side.
  private var isHalfClosed = false

  /// When the current phase began.
  private(set) var since = NIODeadline.now()
  private(set) var deadline: NIODeadline
  /// When the head of the current request arrived.
  private(set) var requestedAt = NIODeadline.now()
  /// Bytes of the received body, or of the answer until the kernel has taken it.
  private(set) var heldBytes = 0

  init(listener: HTTPListener, table: HTTPConnections, channel: any Channel) {
    self.listener = listener
    self.table = table
    self.channel = channel
    deadline = since + TimeAmount(listener.limits.idleTimeout)
  }

  /// The peer's address without its port. `nil` for a Unix socket.
  var address: String? { channel.remoteAddress?.ipAddress }

  /// Whether the connection may be closed without losing an answer.
  var waitsForRequest: Bool {
    switch phase {
    case .idle, .head, .body, .lingering: true
    case .working, .answering, .ended: false
    }
  }

  private func enter(_ phase: Phase, for limit: TimeAmount) {
    self.phase = phase
    since = .now()
    deadline = since + limit
  }

  private func hold(_ bytes: Int) {
    let before = heldBytes
    heldBytes = bytes
    table.changed(self, from: before)
  }

  // MARK: - Of the channel

  func channelActive(context: ChannelHandlerContext) {
    table.add(self)
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    phase = .ended
    table.remove(self)
    body = []
    context.fireChannelInactive()
  }

  func bytesArrived() {
    if phase == .idle { enter(.head, for: TimeAmount(listener.limits.headTimeout)) }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard case .some(.inputClosed) = event as? ChannelEvent else { return context.fireUserInboundEventTriggered(event) }
    isHalfClosed = true
    // An answer in progress is still sent.
    if waitsForRequest { context.close(promise: nil) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if let malformed = error as? HTTPParserError, waitsForRequest, phase != .lingering {
      // The decoder closes the channel when this returns.
      let isTooLarge = malformed == .headerOverflow
      let sentence =
        isTooLarge
        ? "the request's head has more than \(listener.limits.headBytes) bytes or \(listener.limits.headFields) fields\n"
        : "the request is not HTTP/1.1: \(malformed)\n"
      write(
        HTTPAnswer(status: isTooLarge ? 431 : 400, body: sentence), version: .http1_1, isLast: true, withBody: true, context, promise: nil)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
    context.close(promise: nil)
  }

  // MARK: - Requests

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): begin(head, context)
    case .body(let part):
      guard phase == .body else { return }
      guard body.count + part.readableBytes <= listener.limits.bodyBytes else { return refuseBody(context) }
      body.append(contentsOf: part.readableBytesView)
      hold(body.count)
    case .end:
      guard phase == .body else { return }
      carryOut(context)
    }
  }

  private func begin(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    self.head = head
    body = []
    enter(.body, for: TimeAmount(listener.limits.bodyTimeout))
    requestedAt = since
    if let refusal = refusal(of: head) { return refuse(refusal, context) }
    if let length = head.headers.first(name: "content-length").flatMap({ Int($0) }), length > listener.limits.bodyBytes {
      return refuseBody(context)
    }
    if !isOld(head), head.headers["expect"].contains(where: { $0.lowercased() == "100-continue" }) {
      context.writeAndFlush(wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
    }
  }

  /// Whether the request is HTTP/1.0, which has no `Expect` and requires no `Host`.
  private func isOld(_ head: HTTPRequestHead) -> Bool { head.version.major < 1 || (head.version.major == 1 && head.version.minor < 1) }

  private func refusal(of head: HTTPRequestHead) -> HTTPAnswer? {
    guard let hosts = listener.hosts else { return nil }
    let given = head.headers["host"]
    // The check protects browsers, which do not use HTTP/1.0; its requests need no `Host`.
    guard !(given.isEmpty && isOld(head)) else { return nil }
    guard given.count == 1 else { return HTTPAnswer(status: 400, body: "the request has \(given.count) Host fields; send one\n") }
    guard !hosts.allows(given[0]) else { return nil }
    return HTTPAnswer(
      status: 421, body: "the request's Host field names another server; use this server's address, or allow the name with --http-hosts\n"
    )
  }

  private func refuseBody(_ context: ChannelHandlerContext) {
    let limit = listener.limits.bodyBytes
    refuse(HTTPAnswer(status: 413, body: "the request's body has more than \(limit) bytes, the limit\n"), context)
  }

  /// Answers a request before its end, and closes the connection after that.
  private func refuse(_ answer: HTTPAnswer, _ context: ChannelHandlerContext) {
    head?.headers.replaceOrAdd(name: "connection", value: "close")
    send(answer, context)
  }

  private func carryOut(_ context: ChannelHandlerContext) {
    guard let head else { return }
    let parts = head.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    let request = HTTPRequest(
      method: head.method.rawValue, path: String(parts[0]), query: parts.count > 1 ? String(parts[1]) : "", body: body)
    body = []
    switch listener.respond(request) {
    case .now(let answer): send(answer, context)
    case .working(let work):
      // The answer's deadline starts when the answer exists.
      enter(.working, for: .hours(24))
      let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
      listener.workers.runIfActive(eventLoop: context.eventLoop, work).whenComplete { result in
        let (connection, context) = bound.value
        guard connection.phase == .working else { return }
        guard case .success(let answer) = result else { return context.close(promise: nil) }
        connection.send(answer, context)
      }
    }
  }

  // MARK: - Answers

  private func send(_ answer: HTTPAnswer, _ context: ChannelHandlerContext) {
    guard let head else { return }
    enter(.answering, for: TimeAmount(listener.limits.answerTimeout))
    if answer.isOfKnownPeer { table.addKnownPeer(self) }
    let isLast = !head.isKeepAlive || isHalfClosed
    let hasBody = head.method != .HEAD
    hold(hasBody ? answer.body.count : 0)
    let taken = context.eventLoop.makePromise(of: Void.self)
    let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
    taken.futureResult.whenSuccess {
      // In a later turn of the loop: otherwise pipelined requests would recurse, and other connections would wait.
      bound.eventLoop.execute { bound.value.connection.taken(isLast: isLast, bound.value.context) }
    }
    write(answer, version: head.version, isLast: isLast, withBody: hasBody, context, promise: taken)
  }

  /// - Parameter promise: succeeds when the kernel has taken the whole answer.
  private func write(
    _ answer: HTTPAnswer, version: HTTPVersion, isLast: Bool, withBody: Bool, _ context: ChannelHandlerContext,
    promise: EventLoopPromise<Void>?
  ) {
    var headers = HTTPHeaders()
    headers.add(name: "Content-Type", value: answer.contentType)
    headers.add(name: "Content-Length", value: "\(answer.body.count)")
    headers.add(name: "Cache-Control", value: answer.cacheControl)
    headers.add(name: "X-Content-Type-Options", value: "nosniff")
    if isLast { headers.add(name: "Connection", value: "close") }
    let head = HTTPServerResponsePart.head(
      HTTPResponseHead(version: version, status: HTTPResponseStatus(statusCode: answer.status), headers: headers))
    guard withBody, !answer.body.isEmpty else { return context.writeAndFlush(wrapOutboundOut(head), promise: promise) }
    context.write(wrapOutboundOut(head), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: answer.body)))), promise: promise)
  }

  /// Called when the kernel has taken an answer. Allows the next request, whose bytes may have arrived.
  private func taken(isLast: Bool, _ context: ChannelHandlerContext) {
    guard phase == .answering else { return }
    head = nil
    hold(0)
    if isLast || isHalfClosed {
      enter(.lingering, for: Self.lingerTimeout)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
      if isHalfClosed { context.close(promise: nil) } else { context.close(mode: .output, promise: nil) }
    } else {
      enter(.idle, for: TimeAmount(listener.limits.idleTimeout))
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
  }

  // MARK: - The end

  /// Closes the connection after its deadline.
  func overdue() {
    switch phase {
    case .idle, .lingering, .ended: end(nil)
    case .head: end("the request's head was not complete within \(listener.limits.headTimeout)")
    case .body: end("the request's body was not complete within \(listener.limits.bodyTimeout)")
    case .working: end("no answer was made within 24 hours")
    case .answering: end("the answer was not read within \(listener.limits.answerTimeout)")
    }
  }

  /// Closes the connection at once.
  ///
  /// - Parameter reason: for the log; `nil` for a normal end.
  func end(_ reason: String?) {
    phase = .ended
    deadline = .distantFuture
    hold(0)
    if let reason { listener.logger.debug("a connection was closed", metadata: ["reason": "\(reason)"]) }
    channel.close(promise: nil)
  }
}
