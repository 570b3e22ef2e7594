/// Where a server listens.
public enum ServerAddress: Sendable, Hashable, CustomStringConvertible {
  case tcp(host: String, port: Int)
  case unix(path: String)

  /// The port of a server that was given none.
  public static let defaultPort = 7411

  /// Reads "host:port", "host", "[::1]:7411", "::1", "hubaudit://host:port" or "unix:/path". Without a port: 7411.
  ///
  /// - Throws: `invalidAddress` for anything else.
  public init(parsing text: String) throws(ClientError) { try self.init(parsing: text, ports: 1...65535) }

  /// - Parameter ports: those that may be given; a server may also listen at port 0, which is any free one.
  package init(parsing text: String, ports: ClosedRange<Int>) throws(ClientError) {
    func invalid(_ why: String) -> ClientError {
      ClientError(.invalidAddress, "\"\(text)\" is no address of a server: \(why); write host:port, [IPv6]:port or unix:/path")
    }
    if text.hasPrefix("unix:") {
      var path = text.dropFirst("unix:".count)
      if path.hasPrefix("//") { path = path.dropFirst(2) }
      guard !path.isEmpty else { throw invalid("the path is missing") }
      guard path.utf8.count <= 107 else { throw invalid("the path has \(path.utf8.count) bytes and a socket's may have 107") }
      self = .unix(path: String(path))
      return
    }
    var rest = text[...]
    if let scheme = rest.firstRange(of: "://") {
      guard rest[..<scheme.lowerBound] == "hubaudit" else { throw invalid("its scheme is not hubaudit") }
      rest = rest[scheme.upperBound...]
      if rest.hasSuffix("/") { rest = rest.dropLast() }
    }
    var host = rest
    var port: Substring?
    if rest.hasPrefix("[") {
      guard let end = rest.firstIndex(of: "]") else { throw invalid("a \"[\" has no \"]\"") }
      host = rest[rest.index(after: rest.startIndex)..<end]
      let after = rest[rest.index(after: end)...]
      guard after.isEmpty || after.hasPrefix(":") else { throw invalid("\"\(after)\" follows the host") }
      port = after.isEmpty ? nil : after.dropFirst()
    } else if rest.count(where: { $0 == ":" }) == 1, let colon = rest.firstIndex(of: ":") {
      // More than one colon and no brackets: an IPv6 address without a port.
      host = rest[..<colon]
      port = rest[rest.index(after: colon)...]
    }
    // An IPv6 address without brackets may have its port taken for a part of it.
    if port == nil, !rest.hasPrefix("["), let colon = rest.lastIndex(of: ":"), let number = Int(rest[rest.index(after: colon)...]),
      number > 999,
      rest[..<colon].contains("::")
    {
      throw invalid("whether \(number) is its port cannot be told; write [\(rest[..<colon])]:\(number)")
    }
    guard !host.isEmpty, !host.contains(where: { $0 == "/" || $0.isWhitespace }) else { throw invalid("the host is missing or malformed") }
    var number = Self.defaultPort
    if let port {
      guard let given = Int(port), ports.contains(given) else {
        throw invalid("the port is not a number from \(ports.lowerBound) to \(ports.upperBound)")
      }
      number = given
    }
    self = .tcp(host: String(host), port: number)
  }

  public var description: String {
    switch self {
    case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }
}
