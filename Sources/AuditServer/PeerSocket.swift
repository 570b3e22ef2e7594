import Glibc
import NIOCore

/// What the kernel is asked to do about the peer of a TCP connection.
enum PeerSocket {
  /// Bytes that the kernel takes ahead of what the peer can be sent. Few, so that the memory is the server's own to count, and so that
  /// a slow peer's progress shows.
  private static let unsentBytes = 128 << 10

  static func configure(_ options: any NIOSynchronousChannelOptions, keepaliveTimeout: Duration) throws {
    let seconds = max(2, keepaliveTimeout.components.seconds)
    let probes: Int64 = 4
    try options.setOption(.tcpOption(.tcp_nodelay), value: 1)
    try options.setOption(.socketOption(.so_keepalive), value: 1)
    // Half of the time in silence, the other half for the probes.
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

  /// Bytes that the peer's host has acknowledged since the connection began; `nil` when the connection is not TCP. On the event loop only.
  static func acknowledgedBytes(_ channel: any Channel) -> UInt64? {
    guard let socket = channel as? any SocketOptionProvider else { return nil }
    let info: EventLoopFuture<Info> = socket.unsafeGetSocketOption(level: .tcp, name: NIOBSDSocket.Option(rawValue: TCP_INFO))
    var bytes: UInt64?
    // It is there at once.
    info.assumeIsolated().whenSuccess { bytes = $0.bytesAcknowledged }
    return bytes
  }
}
