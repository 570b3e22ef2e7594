import Glibc

/// The names that a request's `Host` field may have. This stops DNS rebinding, in which a web page makes its own name point to this
/// listener.
///
/// IP addresses and `localhost` are always allowed: an attacker cannot redirect them.
public struct HostNames: Sendable {
  private let names: Set<String>

  /// - Parameter names: further allowed names, without a port, in any case.
  public init(_ names: [String]) { self.names = Set(names.map { $0.lowercased() } + ["localhost"]) }

  /// Whether a request may have this `Host` field.
  ///
  /// - Parameter host: with or without a port.
  public func allows(_ host: String) -> Bool {
    var name = host[...]
    if name.hasPrefix("[") {
      guard let end = name.firstIndex(of: "]") else { return false }
      let port = name[name.index(after: end)...]
      guard port.isEmpty || port.first == ":" && Self.isPort(port.dropFirst()) else { return false }
      return Self.isAddress(String(name[name.index(after: name.startIndex)..<end]), AF_INET6)
    }
    if let colon = name.firstIndex(of: ":") {
      guard Self.isPort(name[name.index(after: colon)...]) else { return false }
      name = name[..<colon]
    }
    if name.hasSuffix(".") { name = name.dropLast() }
    return names.contains(name.lowercased()) || Self.isAddress(String(name), AF_INET)
  }

  private static func isPort(_ text: Substring) -> Bool { text.utf8.allSatisfy { (0x30...0x39).contains($0) } }

  private static func isAddress(_ text: String, _ family: Int32) -> Bool {
    var address = in6_addr()
    return inet_pton(family, text, &address) == 1
  }
}
