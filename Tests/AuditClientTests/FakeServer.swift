import AuditSchema
import NIOCore
import NIOPosix

/// A server that does as it is told: answers the first bytes it gets with fixed ones, and then says nothing more.
final class FakeServer: Sendable {
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let answer: [UInt8]
  private let isBytewise: Bool

  /// - Parameter isBytewise: whether every byte is sent alone.
  init(answer: [UInt8], isBytewise: Bool = false) {
    self.answer = answer
    self.isBytewise = isBytewise
  }

  /// The welcome of a server that is in order.
  static var welcome: [UInt8] {
    ServerFrameEncoder().welcome(
      id: 1,
      Welcome(
        server: "fake", logID: Array(1...16), firstSequence: 0, nextSequence: 0, producerNext: nil, identity: "anonymous",
        limits: WireLimits()))
  }

  /// Listens while `body` runs with the address.
  func with<Value: Sendable>(_ body: (Int) async throws -> Value) async throws -> Value {
    let channel = try await ServerBootstrap(group: group)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelInitializer { [answer, isBytewise] channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Answer(answer: answer, isBytewise: isBytewise))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    do {
      let value = try await body(channel.localAddress!.port!)
      try await group.shutdownGracefully()
      return value
    } catch {
      try await group.shutdownGracefully()
      throw error
    }
  }
}

private final class Answer: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private var answer: [UInt8]
  private let isBytewise: Bool

  init(answer: [UInt8], isBytewise: Bool) {
    self.answer = answer
    self.isBytewise = isBytewise
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    for piece in isBytewise ? answer.map({ [$0] }) : [answer] {
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: piece)), promise: nil)
    }
    answer = []
  }
}
