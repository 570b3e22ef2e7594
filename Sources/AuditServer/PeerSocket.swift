import Glibc
import NIOCore

/// Socket options and kernel facts of a TCP connection.
enum PeerSocket {
  /// Bytes that the kernel buffers beyond what it can send (TCP_NOTSENT_LOWAT). Few, so that the server counts the memory itself, and sees a
  /// slow peer's progress.
  private static let unsentBytes = 128 << 10

  static func configure(_ options: any NIOSynchronousChannelOptions, keepaliveTimeout: Duration) throws {
    let seconds = max(2, keepaliveTimeout.components.seconds)
    let probes: Int64 = 4
    try options.setOption(.tcpOption(.tcp_nodelay), value: 1)
    try options.setOption(.socketOption(.so_keepalive), value: 1)
    // Half of the timeout is silence before the first probe; the other half is for the probes.
    for (name, value) in [
      (TCP_KEEPIDLE, seconds / 2), (TCP_KEEPINTVL, max(1, seconds / 2 / probes)), (TCP_KEEPCNT, probes),
      (TCP_USER_TIMEOUT, seconds * 1000), (TCP_NOTSENT_LOWAT, Int64(unsentBytes)),
    ] {
      try options.setOption(.tcpOption(NIOBSDSocket.Option(rawValue: name)), value: SocketOptionValue(value))
    }
  }

  /// The beginning of Linux's `tcp_info`, up to `tcpi_bytes_acked`; glibc's ends before that.
  private struct Info: Sendable {
    var others: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
    var bytesAcknowledged: UInt64
  }

  /// Bytes that the peer's host has acknowledged since the connection began; `nil` for a Unix socket. On the event loop only.
  static func acknowledgedBytes(_ channel: any Channel) -> UInt64? {
    guard let socket = channel as? any SocketOptionProvider else { return nil }
    let info: EventLoopFuture<Info> = socket.unsafeGetSocketOption(level: .tcp, name: NIOBSDSocket.Option(rawValue: TCP_INFO))
    var bytes: UInt64?
    // The value is available at once.
    info.assumeIsolated().whenSuccess { bytes = $0.bytesAcknowledged }
    return bytes
  }

  /// Linux's `ucred`; glibc declares it for GNU sources only.
  private struct UserCredentials: Sendable {
    var process: Int32
    var user: UInt32
    var group: UInt32
  }

  /// Whether the connection came by a Unix socket.
  static func isUnix(_ channel: any Channel) -> Bool { channel.localAddress?.protocol == .unix }

  /// The user of the process that connected to a Unix socket (unix(7), SO_PEERCRED); `nil` if the kernel does not say. On the event loop only.
  static func userID(_ channel: any Channel) -> UInt32? {
    guard let socket = channel as? any SocketOptionProvider else { return nil }
    let peer: EventLoopFuture<UserCredentials> = socket.unsafeGetSocketOption(
      level: .socket, name: NIOBSDSocket.Option(rawValue: CInt(SO_PEERCRED)))
    var user: UInt32?
    // The value is available at once.
    peer.assumeIsolated().whenSuccess { user = $0.user }
    return user
  }
}
