import AuditSchema
import Glibc
import Logging
import NIOCore
import NIOPosix

/// Opens connections.
enum Connector {
  /// Connects a socket. The caller sends the hello.
  ///
  /// - Throws: `connectionRefused`, `unreachable` or `timeout`.
  static func connect(_ configuration: ClientConfiguration, logger: Logger) async throws(ClientError) -> ClientConnection {
    let connection = ClientConnection(configuration: configuration, logger: logger)
    let isTCP = if case .tcp = configuration.address { true } else { false }
    let bootstrap = ClientBootstrap(group: configuration.eventLoops ?? MultiThreadedEventLoopGroup.singleton)
      .connectTimeout(TimeAmount(configuration.timeout))
      .channelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 2048, initial: 16384, maximum: 256 << 10))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if isTCP {
            try channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1)
            try channel.syncOptions?.setOption(.socketOption(.so_keepalive), value: 1)
          }
          try channel.pipeline.syncOperations.addHandler(ConnectionHandler(connection: connection, frameLimit: configuration.frameBytes))
        }
      }
    do {
      switch configuration.address {
      case .tcp(let host, let port): _ = try await bootstrap.connect(host: host, port: port).get()
      case .unix(let path): _ = try await bootstrap.connect(unixDomainSocketPath: path).get()
      }
    } catch {
      throw ClientError.connecting(to: configuration.address, timeout: configuration.timeout, failed: error)
    }
    return connection
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
