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
}
