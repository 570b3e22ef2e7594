import AuditSchema
import NIOCore

/// Addresses, limits and deadlines of a server.
public struct ServerConfiguration: Sendable {
  /// Where to listen.
  public enum Address: Sendable, Equatable, CustomStringConvertible {
    /// Port 0 picks a free one.
    case tcp(host: String, port: Int)
    case unix(path: String)

    public var description: String {
      switch self {
      case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
      case .unix(let path): "unix:\(path)"
      }
    }
  }

  /// Where to listen: at least one address, each once.
  public var addresses = [Address.tcp(host: "127.0.0.1", port: 7411)]
  /// Permission bits of Unix sockets. Who may write to one may connect (unix(7)).
  public var unixMode: UInt32 = 0o600
  /// Name and version of the software, sent in the welcome and in health.
  public var software = "hubaudit"
  /// The limits that the welcome names.
  public var limits = WireLimits()
  /// Maximum open connections. At the limit, the connection that has waited longest without a hello makes room for a new one.
  public var connections = 10_000
  /// Maximum bytes of unfinished frames of all connections. Beyond it, the connection with the oldest unfinished frame is ended.
  public var receiveBytes = 64 << 20
  /// Unsent bytes of all connections. Beyond it, each peer gets only little ahead of what it reads, and peers that read nothing are cut
  /// after 1 s.
  public var sendBytes = 256 << 20
  /// Maximum memory of all filters, in bytes. Equal filters on one event loop count once.
  public var allFilterBytes = 64 << 20
  /// Maximum memory of one connection's filters, in bytes: that of four of the largest.
  var connectionFilterBytes: Int { 4 * (Int(limits.filterBytes) + 24 * Int(limits.filterValues) + 2048) }
  /// Maximum bytes of the first frame.
  public var helloBytes = 20_480
  /// Maximum bytes of a ping's payload.
  public var pingBytes = 4096
  /// How often a subscription that goes on is recorded in the log, on a server that asks for identities.
  package var longReadInterval = Duration.seconds(3600)
  /// Time from accept to a whole hello.
  public var helloTimeout = Duration.seconds(2)
  /// Time from a frame's first byte to its last.
  public var frameTimeout = Duration.seconds(30)
  /// How long a peer may read nothing while bytes wait for it.
  public var writeTimeout = Duration.seconds(10)
  /// TCP keep-alive: how long a silent peer's host may leave the kernel's probes unanswered. At least 2 s.
  public var keepaliveTimeout = Duration.seconds(120)
  /// How long a subscription may lack credit while records wait for it.
  public var creditTimeout = Duration.seconds(60)
  /// How long a shutdown waits for appends under way, and for peers to read their last frames.
  public var drainTimeout = Duration.seconds(10)
  /// Number of event loops, over which connections are spread.
  public var eventLoops = 1
  /// Number of threads that read the store for reads, and for subscriptions behind the tail.
  public var readThreads = 2

  public init() {}
}

/// An address that cannot be listened at.
public struct ListenFailure: Error {
  public let address: ServerConfiguration.Address
  /// The system's error.
  public let cause: any Error
}
