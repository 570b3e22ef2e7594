import NIOCore
import NIOHTTP1

/// Tells a connection of the first byte of a request, before there is a head.
final class ArrivalHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let connection: HTTPConnection

  init(_ connection: HTTPConnection) { self.connection = connection }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    connection.bytesArrived()
    context.fireChannelRead(data)
  }
}

/// One request after the other on a connection: the next is taken when the last answer was.
///
/// `HTTPServerPipelineHandler`, before it, reads nothing and hands on nothing from the end of a request until the end of its answer is
/// written; that is written when the kernel has taken the rest.
final class HTTPConnection: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private enum Phase {
    /// Nothing of the next request is there.
    case idle
    case head
    case body
    /// The request is whole and its answer is being made.
    case working
    case answering
    /// All is said. The peer gets a while to read it, since closing with bytes unread would reset the connection.
    case lingering
    case ended
  }

  /// How long a peer may take to close after the last answer.
  private static let lingerTimeout = TimeAmount.seconds(2)

  private let listener: HTTPListener
  private let table: HTTPConnections
  private let channel: any Channel
  private var phase = Phase.idle
  private var head: HTTPRequestHead?
  private var body: [UInt8] = []
  /// Whether the peer sends no more.
  private var isHalfClosed = false

  /// When the phase began.
  private(set) var since = NIODeadline.now()
  private(set) var deadline: NIODeadline
  /// When the head of the request came that is received or answered.
  private(set) var requestedAt = NIODeadline.now()
  /// Bytes of the body that was received, or of the answer that was not taken.
  private(set) var heldBytes = 0

  init(listener: HTTPListener, table: HTTPConnections, channel: any Channel) {
    self.listener = listener
    self.table = table
    self.channel = channel
    deadline = since + TimeAmount(listener.limits.idleTimeout)
  }

  /// The peer's address without its port; for a known peer's other connections.
  var address: String? { channel.remoteAddress?.ipAddress }

  /// Nobody loses an answer when it ends.
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
    // An answer that is under way is still given.
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

  /// Whether it is of HTTP/1.0, which knows no `Expect` and needs no `Host`.
  private func isOld(_ head: HTTPRequestHead) -> Bool { head.version.major < 1 || (head.version.major == 1 && head.version.minor < 1) }

  private func refusal(of head: HTTPRequestHead) -> HTTPAnswer? {
    guard let hosts = listener.hosts else { return nil }
    let given = head.headers["host"]
    // No browser speaks HTTP/1.0, whose requests need not name a host.
    guard !(given.isEmpty && isOld(head)) else { return nil }
    guard given.count == 1 else { return HTTPAnswer(status: 400, body: "the request has \(given.count) Host fields; send one\n") }
    guard !hosts.allows(given[0]) else { return nil }
    return HTTPAnswer(
      status: 421, body: "this server is not known by the name in the request's Host field; use its address, or name it with --http-hosts\n"
    )
  }

  private func refuseBody(_ context: ChannelHandlerContext) {
    let limit = listener.limits.bodyBytes
    refuse(HTTPAnswer(status: 413, body: "the request's body has more than \(limit) bytes, which are the limit\n"), context)
  }

  /// Answers a request before its end; it is the connection's last.
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
      // The answer's own deadline begins when it is there.
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
    if answer.isOfKnownPeer { table.isOfKnownPeer(self) }
    let isLast = !head.isKeepAlive || isHalfClosed
    let hasBody = head.method != .HEAD
    hold(hasBody ? answer.body.count : 0)
    let taken = context.eventLoop.makePromise(of: Void.self)
    let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
    taken.futureResult.whenSuccess {
      // In a turn of its own: answers that are taken at once would be within each other, and other connections would wait.
      bound.eventLoop.execute { bound.value.connection.taken(isLast: isLast, bound.value.context) }
    }
    write(answer, version: head.version, isLast: isLast, withBody: hasBody, context, promise: taken)
  }

  /// - Parameter promise: kept when the kernel has taken all.
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

  /// The kernel has taken an answer: the next request may come, which may be there already.
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

  func overdue() {
    switch phase {
    case .idle, .lingering, .ended: end(nil)
    case .head: end("no whole head came within \(listener.limits.headTimeout)")
    case .body: end("no whole body came within \(listener.limits.bodyTimeout)")
    case .working: end("no answer was made in a day")
    case .answering: end("the answer was not read within \(listener.limits.answerTimeout)")
    }
  }

  /// - Parameter reason: for the log; `nil` where nothing is out of order.
  func end(_ reason: String?) {
    phase = .ended
    deadline = .distantFuture
    hold(0)
    if let reason { listener.logger.debug("a connection was closed", metadata: ["reason": "\(reason)"]) }
    channel.close(promise: nil)
  }
}
