/// Where a server is.
public enum ServerAddress: Sendable, Hashable, CustomStringConvertible {
  case tcp(host: String, port: Int)
  case unix(path: String)

  public static let defaultPort = 7411

  /// What is wrong with the text of an address.
  public struct ParseError: Error, CustomStringConvertible {
    public let description: String
  }

  /// "host:port", "host" (port 7411), "hubaudit://host:port", "[::1]:7411" or "unix:/path".
  ///
  /// - Throws: `ParseError` that says what is understood.
  public init(parsing text: String) throws(ParseError) {
    let wrong = ParseError(description: "\"\(text)\" is not an address; write host:port, [::1]:port or unix:/path")
    if text.hasPrefix("unix:") {
      var path = text.dropFirst(5)
      if path.hasPrefix("//") { path = path.dropFirst(2) }
      // sockaddr_un holds 108 bytes with the NUL at the end.
      guard !path.isEmpty, path.utf8.count < 108 else { throw wrong }
      self = .unix(path: String(path))
      return
    }
    var rest = Substring(text)
    if rest.hasPrefix("hubaudit://") { rest = rest.dropFirst(11) }
    if rest.hasSuffix("/") { rest = rest.dropLast() }
    var host = rest
    var port = Substring("\(Self.defaultPort)")
    if rest.hasPrefix("[") {
      guard let end = rest.firstIndex(of: "]") else { throw wrong }
      host = rest[rest.index(after: rest.startIndex)..<end]
      let after = rest[rest.index(after: end)...]
      guard after.isEmpty || after.hasPrefix(":") else { throw wrong }
      if !after.isEmpty { port = after.dropFirst() }
    } else if rest.filter({ $0 == ":" }).count == 1, let colon = rest.firstIndex(of: ":") {
      host = rest[..<colon]
      port = rest[rest.index(after: colon)...]
    }
    guard !host.isEmpty, let number = Int(port), (0...65_535).contains(number) else { throw wrong }
    self = .tcp(host: String(host), port: number)
  }

  public var description: String {
    switch self {
    case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }
}
