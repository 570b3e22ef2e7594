import Glibc

/// A port of this machine that nobody else gets while this object lives, also when no server listens on it: tests run at the same time, and
/// a port that one server gave back would be the next one's.
///
/// The socket is bound and never listens, so that connecting is refused; a server that binds the port with SO_REUSEADDR may listen.
final class ReservedPort: Sendable {
  let number: Int
  private let descriptor: CInt

  init() {
    let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    self.descriptor = descriptor
    var on: CInt = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<CInt>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let status = withUnsafeMutablePointer(to: &address) { address in
      address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        bind(descriptor, address, size) == 0 && getsockname(descriptor, address, &size) == 0
      }
    }
    precondition(status, "no port could be reserved: errno \(errno)")
    number = Int(UInt16(bigEndian: address.sin_port))
  }

  deinit { close(descriptor) }
}
