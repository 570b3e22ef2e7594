import AuditClient
import AuditSchema
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// A server that answers each request with what a function says, over TLS or without, and keeps what it was asked.
final class FrameServer: Sendable {
  enum Request: Sendable {
    case hello(token: String?)
    case authenticate(token: String)
    case append(events: Int)
    case other
  }

  enum Answer: Sendable {
    case frame([UInt8])
    /// Ends the connection after this frame.
    case last([UInt8])
    case nothing
  }

  typealias Respond = @Sendable (Request, _ id: UInt64) -> Answer

  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let tls: Mutex<TLSConfiguration?>
  private let respond: Respond

  init(tls: TLSConfiguration? = nil, respond: @escaping Respond = FrameServer.welcoming) {
    self.tls = Mutex(tls)
    self.respond = respond
  }

  /// New connections get another certificate.
  func change(_ configuration: TLSConfiguration) { tls.withLock { $0 = configuration } }

  static let welcoming: Respond = { request, id in
    if case .hello = request { .frame(welcome(id)) } else { .nothing }
  }

  static func welcome(_ id: UInt64, expiresAt: UInt64? = nil) -> [UInt8] {
    var welcome = Welcome(
      server: "test", logID: Array(1...16), firstSequence: 0, nextSequence: 0, producerNext: 1, identity: "token:1", limits: WireLimits())
    welcome.expiresAt = expiresAt
    return ServerFrameEncoder().welcome(id: id, welcome)
  }

  static func configuration(_ identity: TestCA.Identity, protocols: [String] = ["hubaudit/1"]) throws -> TLSConfiguration {
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMFile(identity.certificate).map { .certificate($0) },
      privateKey: .privateKey(try NIOSSLPrivateKey(file: identity.key, format: .pem)))
    configuration.applicationProtocols = protocols
    return configuration
  }

  /// Listens while `body` runs with the port.
  func with<Value: Sendable>(_ body: (Int) async throws -> Value) async throws -> Value {
    let channel = try await ServerBootstrap(group: group)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { [self] channel in
        channel.eventLoop.makeCompletedFuture {
          if let tls = tls.withLock({ $0 }) {
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: try NIOSSLContext(configuration: tls)))
          }
          try channel.pipeline.syncOperations.addHandler(FrameAnswerer(respond))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let result: Result<Value, any Error>
    do { result = .success(try await body(channel.localAddress!.port!)) } catch { result = .failure(error) }
    try await group.shutdownGracefully()
    return try result.get()
  }
}

private final class FrameAnswerer: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let respond: FrameServer.Respond
  private let arena = DecodeArena(limitBytes: 16 << 20)
  private var pending = ByteBuffer()

  init(_ respond: @escaping FrameServer.Respond) { self.respond = respond }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    pending.writeBuffer(&bytes)
    var answers: [FrameServer.Answer] = []
    let used = pending.withUnsafeReadableBytes { bytes in
      var offset = 0
      while case .frame(let range)? = try? Framing.next(in: bytes, at: offset, limit: 8 << 20) {
        offset = range.upperBound
        answers.append(answer(UnsafeRawBufferPointer(rebasing: bytes[range])))
      }
      return offset
    }
    pending.moveReaderIndex(forwardBy: used)
    pending.discardReadBytes()
    for answer in answers {
      switch answer {
      case .nothing: break
      case .frame(let bytes): context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
      case .last(let bytes):
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
        context.close(promise: nil)
      }
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  private func answer(_ bytes: UnsafeRawBufferPointer) -> FrameServer.Answer {
    var id: UInt64?
    guard let frame = try? ClientFrame(bytes, in: arena, identified: &id) else { return .nothing }
    switch frame.request {
    case .hello(let hello): return respond(.hello(token: hello.token), frame.id)
    case .authenticate(let token): return respond(.authenticate(token: token), frame.id)
    case .append(let append): return respond(.append(events: append.count), frame.id)
    default: return respond(.other, frame.id)
    }
  }
}

/// Connects, and returns why that failed.
func connectFailure(of configuration: ClientConfiguration) async -> ClientError? {
  do throws(ClientError) {
    let client = try await AuditClient.connect(configuration, logger: quiet)
    await client.close()
    return nil
  } catch {
    return error
  }
}
