import NIOSSL

/// The host that the server's certificate must name.
///
/// NIOSSL's own check also accepts a certificate for the peer's IP address when a name was asked for, and a common name. Whoever can change
/// a DNS answer may own the former, so the name is checked here as well.
struct ServerName {
  let host: String

  /// Whether one of the certificate's names is the host: an IP address must be among its IP addresses, byte by byte; a name among its DNS
  /// names, where `*` may stand for the whole first label.
  func isNamed(in certificate: NIOSSLCertificate) -> Bool {
    let address = ServerAddress.ipAddress(host)
    return certificate._subjectAlternativeNames().contains { name in
      switch name.nameType {
      case .ipAddress: address.map { name.contents.elementsEqual($0) } ?? false
      case .dnsName: address == nil && isMatched(by: Array(name.contents))
      default: false
      }
    }
  }

  private func isMatched(by pattern: [UInt8]) -> Bool {
    let host = Self.labels(Array(host.utf8))
    let pattern = Self.labels(pattern)
    guard host.count == pattern.count, !host.contains([]) else { return false }
    // A wildcard stands for one label, and not for all hosts of a top-level domain.
    if pattern[0] == [UInt8(ascii: "*")], pattern.count > 2 { return host.dropFirst() == pattern.dropFirst() }
    return host == pattern
  }

  /// The labels in lower case, without a final dot.
  private static func labels(_ name: [UInt8]) -> [[UInt8]] {
    let lower = name.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0 }
    let whole = lower.last == UInt8(ascii: ".") ? lower.dropLast() : lower[...]
    return whole.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).map { Array($0) }
  }
}
