/// The address of a server.
public enum ServerAddress: Sendable, Hashable, CustomStringConvertible {
  /// `host`: a name or an IP address, IPv6 without brackets. `port`: 1 to 65535.
  case tcp(host: String, port: Int)
  /// TLS over TCP. The server's certificate must name `host`.
  case tls(host: String, port: Int)
  /// `path`: of a Unix domain socket, at most 107 bytes.
  case unix(path: String)

  /// The port when an address names none: 7411.
  public static let defaultPort = 7411

  /// Parses "host:port", "host", "[::1]:7411", "::1", "hubaudit://host:port", "hubaudits://host:port" (TLS) or "unix:/path". The default
  /// port is 7411.
  ///
  /// - Throws: `invalidAddress` for anything else.
  public init(parsing text: String) throws(ClientError) { try self.init(parsing: text, ports: 1...65535) }

  /// - Parameter ports: the allowed ports. A server may listen at port 0, which means any free port.
  package init(parsing text: String, ports: ClosedRange<Int>) throws(ClientError) {
    func invalid(_ why: String) -> ClientError {
      ClientError(
        .invalidAddress, "\"\(text)\" is not a server address: \(why); write host:port, [IPv6]:port, hubaudits://host:port or unix:/path")
    }
    if text.hasPrefix("unix:") {
      var path = text.dropFirst("unix:".count)
      if path.hasPrefix("//") { path = path.dropFirst(2) }
      guard !path.isEmpty else { throw invalid("the path is missing") }
      guard path.utf8.count <= 107 else { throw invalid("the path has \(path.utf8.count) bytes; the limit for a socket is 107") }
      self = .unix(path: String(path))
      return
    }
    var rest = text[...]
    var isTLS = false
    if let scheme = rest.firstRange(of: "://") {
      isTLS = rest[..<scheme.lowerBound] == "hubaudits"
      guard isTLS || rest[..<scheme.lowerBound] == "hubaudit" else { throw invalid("its scheme is neither hubaudit nor hubaudits (TLS)") }
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
      // With several colons and no brackets, `rest` is an IPv6 address without a port.
      host = rest[..<colon]
      port = rest[rest.index(after: colon)...]
    }
    // In "::1:7411" the 7411 may be meant as a port, but parses as part of the address.
    if port == nil, !rest.hasPrefix("["), let colon = rest.lastIndex(of: ":"), let number = Int(rest[rest.index(after: colon)...]),
      number > 999,
      rest[..<colon].contains("::")
    {
      throw invalid("\(number) may be the port or a part of the address; for the port write [\(rest[..<colon])]:\(number)")
    }
    guard !host.isEmpty, !host.contains(where: { $0 == "/" || $0.isWhitespace }) else { throw invalid("the host is missing or malformed") }
    var number = Self.defaultPort
    if let port {
      guard let given = Int(port), ports.contains(given) else {
        throw invalid("the port is not a number from \(ports.lowerBound) to \(ports.upperBound)")
      }
      number = given
    }
    self = isTLS ? .tls(host: String(host), port: number) : .tcp(host: String(host), port: number)
  }

  public var description: String {
    switch self {
    case .tcp(let host, let port): Self.text(host, port)
    case .tls(let host, let port): "hubaudits://\(Self.text(host, port))"
    case .unix(let path): "unix:\(path)"
    }
  }

  private static func text(_ host: String, _ port: Int) -> String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
