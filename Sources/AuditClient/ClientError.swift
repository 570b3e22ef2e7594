import AuditSchema

/// An error of the client or its server: a code for programs and a sentence for people.
public struct ClientError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The kinds of errors.
  public enum Code: Sendable, Hashable {
    /// The text is not a server address.
    case invalidAddress
    /// The parts of the configuration contradict each other, such as TLS files for an address without TLS.
    case invalidConfiguration
    /// A certificate, key or token file cannot be used.
    case credentialFile
    /// The TLS handshake failed: one side does not accept the other's certificate, or the server does not speak TLS or this protocol.
    case tlsFailed
    /// No server listens at the address.
    case connectionRefused
    /// The address cannot be reached: unknown host, no route, or no permission.
    case unreachable
    /// The connection ended. An append without an answer may or may not be stored.
    case connectionLost
    /// No answer arrived in time. An append may or may not be stored.
    case timeout
    /// The server refused the request, or the client did before sending it; see `refusal`.
    case refused(RequestError.Code)
    /// The peer broke the protocol. It may not be a hubaudit server.
    case protocolViolation
    /// The server now has another log than the one that was followed.
    case otherLog
    /// The log does not extend the remembered checkpoint: it was changed, truncated or replaced.
    case tampered
    /// The caller's task was cancelled. An append may or may not be stored.
    case cancelled
    /// This client was closed.
    case closed
    /// The queue of `RemoteAuditLog` is full. The event was not accepted.
    case queueFull
  }

  public var code: Code
  /// What was wrong, with which value and limit, and what to do.
  public var message: String
  /// With `refused`: the refusal itself.
  public var refusal: RequestError?

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  init(_ refusal: RequestError) {
    code = .refused(refusal.code)
    message = refusal.message
    self.refusal = refusal
  }

  /// Whether the connection failed or was lost.
  public var isConnectionFailure: Bool {
    switch code {
    case .connectionRefused, .unreachable, .connectionLost, .timeout, .tlsFailed: true
    default: false
    }
  }

  /// Whether a certificate, key or token was not accepted, or could not be read. Whoever runs the hub may exchange it, so parts that
  /// reconnect try again.
  public var isAboutCredentials: Bool {
    switch code {
    case .tlsFailed, .credentialFile, .refused(.unauthenticated), .refused(.credentialExpired): true
    default: false
    }
  }

  /// Whether the same request may succeed on a new connection.
  public var isRetryable: Bool {
    if case .refused(let code) = code { return refusal?.isRetryable ?? code.isRetryable }
    return isConnectionFailure
  }

  public var description: String { message }
}
