/// A request, whole.
public struct HTTPRequest: Sendable {
  public var method: String
  /// Before the question mark.
  public var path: String
  /// Between the question mark and the end; empty without one.
  public var query: String
  public var body: [UInt8]

  /// Whether `name` is one of the parameters, as in `?verbose`.
  public func has(parameter name: String) -> Bool { query.split(separator: "&").contains { $0 == name } }
}

public struct HTTPAnswer: Sendable {
  public static let plainText = "text/plain; charset=utf-8"

  public var status: Int
  public var contentType: String
  public var cacheControl: String
  public var body: [UInt8]
  /// Whether the request showed that its peer is one that this listener is there for. Connections from its address make room last.
  public var isOfKnownPeer = false

  public init(status: Int, contentType: String = plainText, cacheControl: String = "no-store", body: [UInt8]) {
    self.status = status
    self.contentType = contentType
    self.cacheControl = cacheControl
    self.body = body
  }

  public init(status: Int, contentType: String = plainText, cacheControl: String = "no-store", body: String) {
    self.init(status: status, contentType: contentType, cacheControl: cacheControl, body: Array(body.utf8))
  }
}

/// How a request is answered.
public enum HTTPResponding: Sendable {
  /// At once, on the event loop.
  case now(HTTPAnswer)
  /// By a thread that may block.
  case working(@Sendable () -> HTTPAnswer)
}
