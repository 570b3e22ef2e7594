import AuditTLS
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// A self-signed certificate of openssl's, which is its own root, in a directory that goes with this object.
final class OwnCertificate: Sendable {
  let directory: String
  var certificate: String { "\(directory)/own.pem" }
  var key: String { "\(directory)/own.key" }

  init() throws {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent("hubaudit-own-\(UUID())").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    try renew()
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  /// Replaces certificate and key.
  func renew() throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [
      "openssl", "req", "-x509", "-days", "30", "-subj", "/CN=own", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
      "-keyout", key, "-out", certificate,
    ]
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    precondition(process.terminationStatus == 0, "openssl req")
  }

  /// A server that shows it, and takes it from clients.
  func serverTLS() throws -> ServerTLS { try ServerTLS(TLSFiles(certificate: certificate, key: key, clientCA: certificate)) }
}

/// A TLS connection to a listener on loopback.
final class SecurePeer: Sendable {
  private let channel: any Channel
  private let received: Received

  /// - Parameter own: what it shows as its own certificate.
  init(port: Int, showing own: OwnCertificate? = nil) async throws {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.certificateVerification = .none
    if let own {
      configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(own.certificate).map { .certificate($0) }
      configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: own.key, format: .pem))
    }
    let context = try NIOSSLContext(configuration: configuration)
    let received = Received()
    self.received = received
    channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelOption(.allowRemoteHalfClosure, value: true)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandlers([
            try NIOSSLClientHandler(context: context, serverHostname: nil), Collector(received),
          ])
        }
      }
      .connect(host: "127.0.0.1", port: port).get()
  }

  deinit { channel.close(promise: nil) }

  /// In records of up to 16 KiB.
  func send(_ text: String) async throws { try await channel.writeAndFlush(channel.allocator.buffer(string: text)).get() }

  /// Leaves what comes to the kernel.
  func stopReading() async throws { try await channel.setOption(.autoRead, value: false).get() }

  /// Waits until the listener has closed the connection. Bytes that nobody reads do not count.
  func ended() async throws {
    try await channel.setOption(.autoRead, value: true).get()
    _ = try await receive()
  }

  /// Says that nothing more is sent.
  func finishSending() async throws { try await channel.close(mode: .output).get() }

  /// All that comes until it ends with `end`, or up to the end of the connection; what there is after a minute.
  func receive(to end: String? = nil) async throws -> String {
    for _ in 0..<6000 {
      let (text, isEnded) = received.state.withLock { $0 }
      if isEnded || end.map(text.hasSuffix) ?? false { return text }
      try await Task.sleep(for: .milliseconds(10))
    }
    return received.state.withLock { $0.text }
  }
}

private final class Received: Sendable {
  let state = Mutex<(text: String, isEnded: Bool)>(("", false))
}

private final class Collector: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let received: Received

  init(_ received: Received) { self.received = received }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let text = String(buffer: unwrapInboundIn(data))
    received.state.withLock { $0.text += text }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .some(.inputClosed) = event as? ChannelEvent { received.state.withLock { $0.isEnded = true } }
  }

  func channelInactive(context: ChannelHandlerContext) { received.state.withLock { $0.isEnded = true } }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
