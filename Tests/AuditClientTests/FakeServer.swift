import AuditSchema
import NIOCore
import NIOPosix

/// A server that does as it is told: answers what it gets first with fixed bytes, what it gets next with others, and then says nothing more.
final class FakeServer: Sendable {
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let answers: [[UInt8]]
  private let isBytewise: Bool

  /// - Parameter isBytewise: whether every byte is sent alone.
  init(answer: [UInt8], _ others: [UInt8]..., isBytewise: Bool = false) {
    answers = [answer] + others
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
      .childChannelInitializer { [answers, isBytewise] channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Answer(answers: answers, isBytewise: isBytewise))
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

  private var answers: [[UInt8]]
  private let isBytewise: Bool

  init(answers: [[UInt8]], isBytewise: Bool) {
    self.answers = answers
    self.isBytewise = isBytewise
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !answers.isEmpty else { return }
    let answer = answers.removeFirst()
    for piece in isBytewise ? answer.map({ [$0] }) : [answer] {
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: piece)), promise: nil)
    }
  }
}
