import NIOCore
import NIOPosix
import Synchronization

/// Stands between a client and its server and cuts connections after a random number of bytes, in the middle of a frame as often as not.
///
/// Some cuts hold back what the client sent last and give it to the server later, when the client has come back: what a slow network does.
/// Everything happens on one event loop: hence `@unchecked Sendable`.
final class CuttingProxy: @unchecked Sendable {
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let serverPort: Int
  private let budget: ClosedRange<Int>
  private let holdsBack: Bool
  private var generator: SeededGenerator
  private var listener: (any Channel)?
  private var links: [ObjectIdentifier: Link] = [:]
  private var held: [(channel: any Channel, bytes: ByteBuffer)] = []
  private let counts = Mutex((cuts: 0, isCutting: true))

  /// - Parameters:
  ///   - budget: bytes that a connection carries before it is cut, both directions together.
  ///   - holdsBack: whether some of what was cut off arrives later.
  init(serverPort: Int, seed: UInt64, budget: ClosedRange<Int>, holdsBack: Bool = false) {
    self.serverPort = serverPort
    self.budget = budget
    self.holdsBack = holdsBack
    generator = SeededGenerator(seed: seed)
  }

  var cuts: Int { counts.withLock { $0.cuts } }

  /// Lets connections live from now on.
  func stopCutting() { counts.withLock { $0.isCutting = false } }

  /// - Returns: the port to connect to.
  func start() async throws -> Int {
    let channel = try await ServerBootstrap(group: group)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.autoRead, value: false)
      .childChannelInitializer { [self] client in accept(client) }
      .bind(host: "127.0.0.1", port: 0).get()
    listener = channel
    return channel.localAddress!.port!
  }

  func stop() async throws {
    try await listener?.close().get()
    try await group.shutdownGracefully()
  }

  private func accept(_ client: any Channel) -> EventLoopFuture<Void> {
    ClientBootstrap(group: client.eventLoop).channelOption(.autoRead, value: false)
      .connect(host: "127.0.0.1", port: serverPort)
      .flatMapThrowing { [self] server in
        let link = Link(client: client, server: server, budget: Int.random(in: budget, using: &generator))
        links[ObjectIdentifier(link)] = link
        try client.pipeline.syncOperations.addHandler(Pipe(proxy: self, link: link, isClient: true))
        try server.pipeline.syncOperations.addHandler(Pipe(proxy: self, link: link, isClient: false))
        client.eventLoop.execute {
          client.setOption(.autoRead, value: true).whenFailure { _ in }
          server.setOption(.autoRead, value: true).whenFailure { _ in }
        }
      }
  }

  fileprivate func forward(_ bytes: ByteBuffer, on link: Link, fromClient: Bool) {
    guard !link.isCut else { return }
    let target = fromClient ? link.server : link.client
    link.budget -= bytes.readableBytes
    guard link.budget <= 0, counts.withLock({ $0.isCutting }) else {
      target.writeAndFlush(bytes, promise: nil)
      // The late bytes come between those of the new connection.
      if fromClient, link.forwarded > 0 { release() }
      link.forwarded += 1
      return
    }
    link.isCut = true
    counts.withLock { $0.cuts += 1 }
    if fromClient, holdsBack, Bool.random(using: &generator) {
      held.append((link.server, bytes))
      link.client.close(promise: nil)
      return
    }
    let part = bytes.getSlice(at: bytes.readerIndex, length: bytes.readableBytes + max(link.budget, -bytes.readableBytes))!
    target.writeAndFlush(part).whenComplete { _ in
      link.client.close(promise: nil)
      link.server.close(promise: nil)
    }
  }

  private func release() {
    for (channel, bytes) in held { channel.writeAndFlush(bytes).whenComplete { _ in channel.close(mode: .output, promise: nil) } }
    held = []
  }

  fileprivate func closed(_ link: Link, isClient: Bool) {
    links[ObjectIdentifier(link)] = nil
    if isClient {
      if !held.contains(where: { $0.channel === link.server }) { link.server.close(promise: nil) }
    } else {
      link.client.close(promise: nil)
    }
  }
}

private final class Link: @unchecked Sendable {
  let client: any Channel
  let server: any Channel
  var budget: Int
  var forwarded = 0
  var isCut = false

  init(client: any Channel, server: any Channel, budget: Int) {
    self.client = client
    self.server = server
    self.budget = budget
  }
}

private final class Pipe: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let proxy: CuttingProxy
  private let link: Link
  private let isClient: Bool

  init(proxy: CuttingProxy, link: Link, isClient: Bool) {
    self.proxy = proxy
    self.link = link
    self.isClient = isClient
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    proxy.forward(unwrapInboundIn(data), on: link, fromClient: isClient)
  }

  func channelInactive(context: ChannelHandlerContext) { proxy.closed(link, isClient: isClient) }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// SplitMix64: the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A new seed, printed so that the run can be repeated.
  static func printedSeed(_ test: String) -> UInt64 {
    let seed = UInt64.random(in: 0...999_999)
    print("\(test): seed \(seed)")
    return seed
  }
}
