import AuditTLS
import Glibc
import NIOCore

/// A listen address, judged by the addresses that its host resolves to, not by its text: `127.evil.example` is a host name.
struct ListenAddress {
  /// All addresses of the host.
  let addresses: [SocketAddress]

  /// - Throws: `CommandFailure` if the host is no address and cannot be resolved.
  init(host: String, port: Int) throws {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, "\(port)", &hints, &found)
    guard code == 0 else { throw CommandFailure(.usage, "the host \(host) cannot be found: \(String(cString: gai_strerror(code)))") }
    defer { freeaddrinfo(found) }
    var addresses: [SocketAddress] = []
    var next = found
    while let info = next {
      switch info.pointee.ai_family {
      case AF_INET:
        info.pointee.ai_addr.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { addresses.append(SocketAddress($0.pointee)) }
      case AF_INET6:
        info.pointee.ai_addr.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { addresses.append(SocketAddress($0.pointee)) }
      default: break
      }
      next = info.pointee.ai_next
    }
    guard !addresses.isEmpty else { throw CommandFailure(.usage, "the host \(host) has no IP address") }
    self.addresses = addresses
  }

  /// Whether all addresses are loopback addresses.
  var isLoopback: Bool { addresses.allSatisfy(\.isLoopback) }

  /// The address to listen on. Resolving the name again could give another one than was judged.
  var first: String { addresses[0].ipAddress ?? "" }
}
