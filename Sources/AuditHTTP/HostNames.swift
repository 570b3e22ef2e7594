import Glibc

/// The names by which a listener may be asked for: others are those of a page in somebody's browser whose name was made to lead here (DNS
/// rebinding).
///
/// Addresses are always allowed, and so is `localhost`: only a name can be made to lead elsewhere.
public struct HostNames: Sendable {
  private let names: Set<String>

  /// - Parameter names: allowed besides; without a port, case does not matter.
  public init(_ names: [String]) { self.names = Set(names.map { $0.lowercased() } + ["localhost"]) }

  /// - Parameter host: a `Host` field, with or without a port.
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
