/// A complete request.
public struct HTTPRequest: Sendable {
  /// In upper case, such as "GET".
  public var method: String
  /// The part of the URI before the question mark. Not decoded.
  public var path: String
  /// The part of the URI after the question mark; may be empty. Not decoded.
  public var query: String
  public var body: [UInt8]
  /// Values of all `Authorization` fields.
  public var authorization: [String] = []
  public var peer = HTTPPeer()

  package init(method: String, path: String, query: String, body: [UInt8]) {
    self.method = method
    self.path = path
    self.query = query
    self.body = body
  }

  /// Whether `name` is one of the parameters, as in `?verbose`.
  public func has(parameter name: String) -> Bool { query.split(separator: "&").contains { $0 == name } }
}

/// An answer to a request.
public struct HTTPAnswer: Sendable {
  public static let plainText = "text/plain; charset=utf-8"

  /// HTTP status code.
  public var status: Int
  public var contentType: String
  public var cacheControl: String
  public var body: [UInt8]
  /// Value of `WWW-Authenticate`; for status 401.
  public var challenge: String?
  /// Whether the connection ends after this answer.
  public var isLast = false
  /// Whether the request proved its peer to be one of the listener's intended users. Connections from that address are closed last.
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
  /// With an answer that is ready.
  case now(HTTPAnswer)
  /// By a closure that runs on a worker thread and may block.
  case working(@Sendable () -> HTTPAnswer)
  /// By a closure that runs off the event loop, must not block, and tells what comes next. Requests that wait for theirs are bounded by
  /// `HTTPLimits.connections`.
  case later(@Sendable () async -> HTTPResponding)
}
