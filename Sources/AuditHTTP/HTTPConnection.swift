import AuditTLS
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOTLS

/// A connection: one request after the other. Confined to the listener's event loop.
///
/// `HTTPServerPipelineHandler`, before it in the pipeline, stops reading at the end of a request until the end of its answer is written.
/// This handler writes that end only when the kernel has taken the rest of the answer. `HTTPInput` holds back what came besides.
final class HTTPConnection: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private enum Phase {
    /// The TLS handshake is under way.
    case handshake
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
  /// How much of an answer is written at once; the next piece follows when the kernel has taken it. The TLS handler's buffer grows to the largest
  /// piece, and never shrinks: with its overhead this one stays below 64 KiB.
  private static let pieceBytes = 48 << 10

  private let listener: HTTPListener
  private let table: HTTPConnections
  private let channel: any Channel
  /// Both are `nil` after the end.
  private var context: ChannelHandlerContext?
  var input: HTTPInput?
  private var phase: Phase
  private var peer = HTTPPeer()
  /// `ServerTLS.rootRemovals` when the connection began.
  private let rootRemovals: Int
  private var head: HTTPRequestHead?
  private var body: [UInt8] = []
  /// Whether all of the current request has arrived.
  private var isRequestWhole = false
  /// What is left to write of the answer.
  private var unwritten: ArraySlice<UInt8> = []
  /// Whether the connection ends after the answer.
  private var isLastAnswer = false
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
    // Before the context was asked for: a root that is removed meanwhile is counted.
    rootRemovals = listener.tls?.rootRemovals ?? 0
    phase = listener.tls == nil ? .idle : .handshake
    deadline = since + TimeAmount(listener.tls == nil ? listener.limits.idleTimeout : listener.limits.headTimeout)
    peer.address = channel.remoteAddress?.ipAddress
    peer.isSecure = listener.tls != nil
    peer.isLocal = channel.remoteAddress?.isLoopback ?? false
  }

  /// The peer's address without its port. `nil` for a Unix socket.
  var address: String? { peer.address }

  /// Whether the connection may be closed without losing an answer.
  var waitsForRequest: Bool {
    switch phase {
    case .handshake, .idle, .head, .body, .lingering: true
    case .working, .answering, .ended: false
    }
  }

  var isHandshaking: Bool { phase == .handshake }

  /// Whether the decoder may have further bytes: of a request that is not whole, or to be dropped.
  var takesInput: Bool {
    switch phase {
    case .handshake, .working: false
    case .idle, .head, .body, .lingering, .ended: true
    case .answering: !isRequestWhole
    }
  }

  private func enter(_ phase: Phase, for limit: TimeAmount) {
    if isHandshaking { table.handshakeEnded() }
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

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func channelActive(context: ChannelHandlerContext) {
    // Before the handshake, which so counts against the limits.
    table.add(self)
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    enter(.ended, for: .hours(24))
    table.remove(self)
    body = []
    unwritten = []
    context.fireChannelInactive()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    input = nil
    self.context = nil
  }

  func bytesArrived() {
    if phase == .idle { enter(.head, for: TimeAmount(listener.limits.headTimeout)) }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case ChannelEvent.inputClosed:
      isHalfClosed = true
      // An answer in progress is still sent.
      if waitsForRequest { finish(context) }
    case TLSUserEvent.handshakeCompleted:
      guard phase == .handshake else { return }
      peer.certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate()?.toDERBytes()
      enter(.idle, for: TimeAmount(listener.limits.idleTimeout))
    default: context.fireUserInboundEventTriggered(event)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard phase != .ended else { return }
    // The peer closed its side without TLS's farewell. HTTP tells lengths, so nothing is taken for whole that is not. The event follows.
    if case .uncleanShutdown? = error as? NIOSSLError { return }
    if phase == .handshake { return handshakeFailed(error) }
    if let malformed = error as? HTTPParserError, waitsForRequest, phase != .lingering {
      // The decoder closes the channel when this returns.
      let isTooLarge = malformed == .headerOverflow
      let sentence =
        isTooLarge
        ? "the request's head has more than \(listener.limits.headBytes) bytes or \(listener.limits.headFields) fields\n"
        : "the request is not HTTP/1.1: \(malformed)\n"
      let answer = HTTPAnswer(status: isTooLarge ? 431 : 400, body: sentence)
      context.write(responseHead(of: answer, version: .http1_1, isLast: true), promise: nil)
      context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: answer.body)))), promise: nil)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
    finish(context)
  }

  private func handshakeFailed(_ error: any Error) {
    // Whoever only looks whether somebody listens is no failure.
    guard error as? NIOSSLError != .handshakeFailed(.sslError([.eofDuringHandshake])) else { return end("it ended in the TLS handshake") }
    let reason = "the TLS handshake failed: \(error)"
    listener.refusals.note(.handshake, reason, peer: address)
    end(reason)
  }

  /// The peer sent what is not TLS.
  func sentPlaintext() {
    guard phase == .handshake else { return }
    let reason = "it spoke plain HTTP, or another protocol, and this port speaks TLS; use https://"
    listener.refusals.note(.plaintext, reason, peer: address)
    end(reason)
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
      isRequestWhole = true
      guard phase == .body else { return }
      carryOut(context)
    }
  }

  private func begin(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    self.head = head
    body = []
    isRequestWhole = false
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
    guard hosts.allows(given[0]) else {
      listener.refusals.note(.host, "the Host field names another server", peer: address)
      return HTTPAnswer(
        status: 421, body: "the request's Host field names another server; use this server's address, or allow the name with --http-hosts\n"
      )
    }
    // Browsers send it, and no page can change it (Fetch Metadata).
    guard head.headers["sec-fetch-site"].contains(where: { $0.lowercased() == "cross-site" }) else { return nil }
    listener.refusals.note(.crossSite, "a page of another site asked", peer: address)
    return HTTPAnswer(status: 403, body: "a page of another site may ask nothing here; open this server's own address\n")
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
    var request = HTTPRequest(
      method: head.method.rawValue, path: String(parts[0]), query: parts.count > 1 ? String(parts[1]) : "", body: body)
    request.authorization = head.headers["authorization"]
    request.peer = peer
    request.peer.isCertificateOutdated = rootRemovals != listener.tls?.rootRemovals ?? 0
    body = []
    // The answer's deadline starts when the answer exists.
    enter(.working, for: .hours(24))
    take(listener.respond(request), context)
  }

  private func take(_ responding: HTTPResponding, _ context: ChannelHandlerContext) {
    let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
    switch responding {
    case .now(let answer): send(answer, context)
    case .working(let work):
      listener.workers.runIfActive(eventLoop: context.eventLoop, work).whenComplete { result in
        let (connection, context) = bound.value
        guard connection.phase == .working else { return }
        guard case .success(let answer) = result else { return context.close(promise: nil) }
        connection.send(answer, context)
      }
    case .later(let decide):
      Task { [loop = context.eventLoop] in
        let responding = await decide()
        loop.execute {
          let (connection, context) = bound.value
          if connection.phase == .working { connection.take(responding, context) }
        }
      }
    }
  }

  // MARK: - Answers

  private func send(_ answer: HTTPAnswer, _ context: ChannelHandlerContext) {
    guard let head else { return }
    enter(.answering, for: TimeAmount(listener.limits.answerTimeout))
    if answer.isOfKnownPeer { table.addKnownPeer(self) }
    isLastAnswer = !head.isKeepAlive || isHalfClosed || answer.isLast
    unwritten = head.method == .HEAD ? [] : answer.body[...]
    hold(unwritten.count)
    let answerHead = responseHead(of: answer, version: head.version, isLast: isLastAnswer)
    guard !unwritten.isEmpty else { return context.writeAndFlush(answerHead, promise: promiseToGoOn(context)) }
    context.write(answerHead, promise: nil)
    writePiece(context)
  }

  private func responseHead(of answer: HTTPAnswer, version: HTTPVersion, isLast: Bool) -> NIOAny {
    var headers = HTTPHeaders()
    headers.add(name: "Content-Type", value: answer.contentType)
    headers.add(name: "Content-Length", value: "\(answer.body.count)")
    headers.add(name: "Cache-Control", value: answer.cacheControl)
    headers.add(name: "X-Content-Type-Options", value: "nosniff")
    if let challenge = answer.challenge { headers.add(name: "WWW-Authenticate", value: challenge) }
    if isLast { headers.add(name: "Connection", value: "close") }
    return wrapOutboundOut(
      .head(HTTPResponseHead(version: version, status: HTTPResponseStatus(statusCode: answer.status), headers: headers)))
  }

  /// Writes the next piece of the answer, with all that was written before it.
  private func writePiece(_ context: ChannelHandlerContext) {
    let piece = context.channel.allocator.buffer(bytes: unwritten.prefix(Self.pieceBytes))
    unwritten = unwritten.dropFirst(Self.pieceBytes)
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(piece))), promise: promiseToGoOn(context))
  }

  /// Succeeds when the kernel has taken what is written with it.
  private func promiseToGoOn(_ context: ChannelHandlerContext) -> EventLoopPromise<Void> {
    let taken = context.eventLoop.makePromise(of: Void.self)
    let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
    taken.futureResult.whenSuccess {
      // In a later turn of the loop: otherwise pipelined requests and pieces would recurse, and other connections would wait.
      bound.eventLoop.execute { bound.value.connection.taken(bound.value.context) }
    }
    return taken
  }

  /// Called when the kernel has taken all that was written of the answer. Goes on with the rest of it. At its end, allows the next request, whose
  /// bytes may have arrived.
  private func taken(_ context: ChannelHandlerContext) {
    guard phase == .answering else { return }
    guard unwritten.isEmpty else { return writePiece(context) }
    unwritten = []
    head = nil
    hold(0)
    if isLastAnswer || isHalfClosed {
      enter(.lingering, for: Self.lingerTimeout)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
      if isHalfClosed { context.close(promise: nil) } else { context.close(mode: .output, promise: nil) }
    } else {
      enter(.idle, for: TimeAmount(listener.limits.idleTimeout))
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
    input?.pass()
  }

  // MARK: - The end

  /// Closes the connection in good order: TLS says farewell, and waits for the peer's, for a moment.
  private func finish(_ context: ChannelHandlerContext) {
    enter(.lingering, for: Self.lingerTimeout)
    context.close(promise: nil)
  }

  /// Closes the connection after its deadline.
  func overdue() {
    switch phase {
    case .idle, .lingering, .ended: end(nil)
    case .handshake: end("the TLS handshake was not complete within \(listener.limits.headTimeout)")
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
    enter(.ended, for: .hours(24))
    deadline = .distantFuture
    hold(0)
    unwritten = []
    if let reason { listener.logger.debug("a connection was closed", metadata: ["reason": "\(reason)"]) }
    guard let context else { return channel.close(promise: nil) }
    // Before the TLS handler: that would wait for the peer's farewell.
    let secure = try? context.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self)
    (secure ?? context).close(promise: nil)
  }
}
