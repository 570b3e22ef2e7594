import AuditServer
import Foundation
import NIOCore

/// Checks that this process can listen at an address, before anything is made on disk: a server that cannot listen leaves nothing behind.
enum ListenCheck {
  /// - Throws: the system's error. The address is free again afterwards.
  static func run(_ address: ServerConfiguration.Address) throws {
    switch address {
    case .tcp(_, 0): return
    case .tcp(let host, let port):
      let address = try SocketAddress.makeAddressResolvingHost(host, port: port)
      try withSocket(family: address.protocol == .inet6 ? AF_INET6 : AF_INET) { socket in
        // As the server does. A port that somebody listens on is still refused.
        var on: Int32 = 1
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        let bound = address.withSockAddr { bind(socket, $0, socklen_t($1)) }
        if bound != 0 { throw IOError(errnoCode: errno, reason: "bind") }
      }
    case .unix(let path):
      let address = try SocketAddress(unixDomainSocketPath: path)
      try withSocket(family: AF_UNIX) { socket in
        // If nobody answers, a killed server left the socket file.
        let connected = address.withSockAddr { connect(socket, $0, socklen_t($1)) }
        if connected == 0 { throw IOError(errnoCode: EADDRINUSE, reason: "another server listens at \(path)") }
      }
      var found = stat()
      if lstat(path, &found) == 0 {
        // Only a socket may be replaced.
        guard found.st_mode & S_IFMT == S_IFSOCK else { throw IOError(errnoCode: EADDRINUSE, reason: "\(path) is no socket") }
      } else {
        let directory = (path as NSString).deletingLastPathComponent
        guard access(directory.isEmpty ? "." : directory, W_OK) == 0 else { throw IOError(errnoCode: errno, reason: "access") }
      }
    }
  }

  private static func withSocket(family: Int32, _ body: (Int32) throws -> Void) throws {
    let socket = Foundation.socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard socket >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
    defer { close(socket) }
    try body(socket)
  }
}
