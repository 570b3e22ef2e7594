import NIOCore

extension SocketAddress {
  /// Whether only this machine can be at the other end.
  package var isLoopback: Bool {
    switch self {
    case .v4(let address):
      // sockaddr_in (ip(7)): family and port, 2 bytes each; then the address.
      withUnsafeBytes(of: address.address) { $0[4] == 127 }
    case .v6(let address):
      // sockaddr_in6 (ipv6(7)): family, port, and flow information of 4 bytes; then the address.
      withUnsafeBytes(of: address.address) { structure in
        let bytes = UnsafeRawBufferPointer(rebasing: structure[8..<24])
        let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        return isMapped ? bytes[12] == 127 : bytes[..<15].allSatisfy { $0 == 0 } && bytes[15] == 1
      }
    case .unixDomainSocket: true
    }
  }
}
