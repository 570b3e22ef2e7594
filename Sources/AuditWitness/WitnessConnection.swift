import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// Sends one request to a witness, on its own connection.
enum WitnessConnection {
  /// Maximum bytes of an answer; a cosignature has about 200.
  static let maxReplyBytes = 64 << 10

  /// Posts to `<prefix>/add-checkpoint`.
  ///
  /// - Parameter trust: for `https`; `nil`: plain HTTP.
  /// - Throws: if the whole answer does not come within `limit`, the connection fails, or the task is cancelled.
  static func post(
    _ body: [UInt8], to url: WitnessURL, trust: WitnessTrust?, within limit: TimeAmount, on group: any EventLoopGroup
  ) async throws -> (status: Int, body: [UInt8]) {
    let channels = CancellableChannels()
    return try await withTaskCancellationHandler {
      try await post(body, to: url, trust: trust, within: limit, on: group.next(), channels)
    } onCancel: {
      channels.cancel()
    }
  }

  private static func post(
    _ body: [UInt8], to url: WitnessURL, trust: WitnessTrust?, within limit: TimeAmount, on loop: any EventLoop,
    _ channels: CancellableChannels
  ) async throws -> (status: Int, body: [UInt8]) {
    let reply = loop.makePromise(of: NIOHTTPClientResponseFull.self)
    let deadline = NIODeadline.now() + limit
    let channel: any Channel
    do {
      channel = try await ClientBootstrap(group: loop)
        .connectTimeout(limit)
        .channelInitializer { channel in
          channels.add(channel)
          return channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHTTPClientHandlers()
            try pipeline.addHandler(NIOHTTPClientResponseAggregator(maxContentLength: maxReplyBytes))
          }
        }
        .connect(host: url.host, port: url.port).get()
      // Added after connecting: a host may have several addresses, and failed attempts must not fail the reply.
      try await loop.submit { [channel] in
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(ReplyHandler(reply))
        // Last, since it begins the handshake, whose errors are for the handler above.
        if let trust { try pipeline.addHandler(try trust.handler(host: url.host), position: .first) }
        guard channel.isActive else { throw ReplyError("the connection ended before the request") }
      }.get()
    } catch {
      reply.fail(error)
      throw error
    }
    let timer = loop.scheduleTask(deadline: deadline) {
      reply.fail(ReplyError("no answer within \(limit.nanoseconds / 1_000_000_000) s"))
    }
    reply.futureResult.whenComplete { _ in
      timer.cancel()
      channel.close(promise: nil)
    }
    var head = HTTPRequestHead(version: .http1_1, method: .POST, uri: url.prefix + "/add-checkpoint")
    head.headers = [
      "Host": url.authority, "Content-Type": "text/plain; charset=utf-8", "Content-Length": "\(body.count)", "User-Agent": "hubaudit",
      "Connection": "close",
    ]
    channel.write(HTTPClientRequestPart.head(head), promise: nil)
    channel.write(HTTPClientRequestPart.body(.byteBuffer(channel.allocator.buffer(bytes: body))), promise: nil)
    channel.writeAndFlush(HTTPClientRequestPart.end(nil)).cascadeFailure(to: reply)
    let full = try await reply.futureResult.get()
    return (Int(full.head.status.code), full.body.map { Array($0.readableBytesView) } ?? [])
  }
}

/// The channels of one request, one per address tried. Cancelling the request closes them.
private final class CancellableChannels: Sendable {
  private let state = Mutex<(channels: [any Channel], isCancelled: Bool)>(([], false))

  func add(_ channel: any Channel) {
    let isCancelled = state.withLock { state in
      state.channels.append(channel)
      return state.isCancelled
    }
    if isCancelled { channel.close(promise: nil) }
  }

  func cancel() {
    let channels = state.withLock { state in
      state.isCancelled = true
      return state.channels
    }
    for channel in channels { channel.close(promise: nil) }
  }
}

/// The reason why no answer came.
struct ReplyError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

/// Completes the promise with the answer, or the reason why none came. Only the first result counts.
private final class ReplyHandler: ChannelInboundHandler {
  typealias InboundIn = NIOHTTPClientResponseFull

  private let reply: EventLoopPromise<NIOHTTPClientResponseFull>

  init(_ reply: EventLoopPromise<NIOHTTPClientResponseFull>) { self.reply = reply }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) { reply.succeed(unwrapInboundIn(data)) }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch error as? NIOSSLError {
    // After an answer whose length is known it means nothing, and before its end the connection ends too early anyway.
    case .uncleanShutdown: return
    case .handshakeFailed(let reason):
      reply.fail(
        ReplyError(
          "the TLS handshake failed: is the witness' certificate valid, and signed by a root of --witness-cacert or, without it, of the system? "
            + "(\(reason))"))
    default: reply.fail(error)
    }
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    reply.fail(ReplyError("the connection ended before the answer"))
    context.fireChannelInactive()
  }
}
