import AuditSchema
import Glibc
import Logging
import NIOCore
import NIOPosix
import NIOSSL

/// Opens connections.
enum Connector {
  /// Connects a socket. The caller queues the hello; with TLS it is sent after the handshake, and fails with what the handshake failed with.
  ///
  /// - Throws: `connectionRefused`, `unreachable` or `timeout`; `credentialFile`.
  static func connect(_ configuration: ClientConfiguration, logger: Logger) async throws(ClientError) -> ClientConnection {
    let connection = ClientConnection(configuration: configuration, logger: logger)
    let isTCP = if case .unix = configuration.address { false } else { true }
    let tls: (context: NIOSSLContext, host: String)?
    if case .tls(let host, _) = configuration.address {
      tls = (try (configuration.tls ?? ClientTLS()).makeContext(), host)
    } else {
      tls = nil
    }
    // What one turn reads, the TLS handler keeps decrypted in a buffer that stays as large as it was once.
    let largestRead = tls == nil ? 256 << 10 : 64 << 10
    let bootstrap = ClientBootstrap(group: configuration.eventLoops ?? MultiThreadedEventLoopGroup.singleton)
      .connectTimeout(TimeAmount(configuration.timeout))
      .channelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 2048, initial: 16384, maximum: largestRead))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if isTCP {
            try channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1)
            try channel.syncOptions?.setOption(.socketOption(.so_keepalive), value: 1)
          }
          if let tls { try addTLS(tls.context, host: tls.host, configuration, to: channel.pipeline.syncOperations) }
          try channel.pipeline.syncOperations.addHandler(ConnectionHandler(connection: connection, frameLimit: configuration.frameBytes))
        }
      }
    do {
      switch configuration.address {
      case .tcp(let host, let port), .tls(let host, let port): _ = try await bootstrap.connect(host: host, port: port).get()
      case .unix(let path): _ = try await bootstrap.connect(unixDomainSocketPath: path).get()
      }
    } catch {
      throw ClientError.connecting(to: configuration.address, timeout: configuration.timeout, failed: error)
    }
    return connection
  }

  private static func addTLS(
    _ context: NIOSSLContext, host: String, _ configuration: ClientConfiguration, to pipeline: ChannelPipeline.SynchronousOperations
  ) throws {
    // Server Name Indication has no final dot, and no IP addresses.
    let name = host.hasSuffix(".") ? String(host.dropLast()) : host
    let tls: NIOSSLClientHandler
    do {
      tls = try NIOSSLClientHandler(context: context, serverHostname: ServerAddress.ipAddress(host) == nil ? name : nil)
    } catch {
      throw ClientError(.invalidAddress, "\(configuration.address) has no host name that a certificate can name")
    }
    try pipeline.addHandler(tls)
    try pipeline.addHandler(
      TLSHandshake(
        address: configuration.address, host: name, timeout: TimeAmount(configuration.timeout),
        showsCertificate: configuration.tls?.certificateFile != nil))
  }
}

extension ClientError {
  /// The system's text for an error number, in lower case.
  static func reason(errno code: CInt) -> String { String(cString: strerror(code)).lowercased() }

  static func connecting(to address: ServerAddress, timeout: Duration, failed error: any Error) -> ClientError {
    func cannotConnect(_ code: Code, _ reason: String) -> ClientError {
      ClientError(code, "cannot connect to \(address): \(reason) (is the server up? set --server or HUBAUDIT_SERVER)")
    }
    switch error {
    case let error as ClientError: return error
    case let error as NIOConnectionError:
      if let first = error.connectionErrors.first { return connecting(to: address, timeout: timeout, failed: first.error) }
      return cannotConnect(.unreachable, "the host is unknown")
    case let error as IOError where error.errnoCode == ECONNREFUSED || error.errnoCode == ENOENT:
      return cannotConnect(.connectionRefused, reason(errno: error.errnoCode))
    case let error as IOError: return cannotConnect(.unreachable, reason(errno: error.errnoCode))
    case ChannelError.connectTimeout: return cannotConnect(.timeout, "no answer within \(TimeAmount(timeout).seconds)")
    default: return cannotConnect(.unreachable, "\(error)")
    }
  }
}
