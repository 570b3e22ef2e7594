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

  public var address = Address.tcp(host: "127.0.0.1", port: 7411)
  /// Name and version that the welcome and health tell.
  public var software = "hubaudit"
  /// What the welcome tells.
  public var limits = WireLimits()
  /// Connections at a time. When there are so many, the one that has gone without a hello longest makes room for a new one.
  public var connections = 10_000
  /// Bytes of unfinished frames of all connections. Beyond it the frame that has been unfinished longest ends its connection.
  public var receiveBytes = 64 << 20
  /// Bytes of all connections that their peers have not taken. Beyond it each gets little ahead of what it takes, and peers that take
  /// nothing are cut after one second.
  public var sendBytes = 256 << 20
  /// Memory of the filters of all connections' subscriptions and reads; equal ones on one event loop count once.
  public var allFilterBytes = 64 << 20
  /// Memory of one connection's filters: that of four of the largest.
  var connectionFilterBytes: Int { 4 * (Int(limits.filterBytes) + 24 * Int(limits.filterValues) + 2048) }
  /// Bytes of the first frame.
  public var helloBytes = 4096
  /// Bytes of a ping's payload.
  public var pingBytes = 4096
  /// From accept to a whole hello.
  public var helloTimeout = Duration.seconds(2)
  /// From the first byte of a frame to its last.
  public var frameTimeout = Duration.seconds(30)
  /// How long a peer may take nothing of what was written to it.
  public var writeTimeout = Duration.seconds(10)
  /// How long the host of a TCP peer may answer nothing, also when there is nothing to say: the kernel asks. At least 2 s.
  public var keepaliveTimeout = Duration.seconds(120)
  /// How long a subscription may lack credit while there are records for it.
  public var creditTimeout = Duration.seconds(60)
  /// How long a shutdown waits for appends under way and for peers to take their last frames.
  public var drainTimeout = Duration.seconds(10)
  /// Event loops; sessions are spread over them.
  public var eventLoops = 1
  /// Threads that read the store for reads and subscriptions behind the tail.
  public var readThreads = 2

  public init() {}
}
