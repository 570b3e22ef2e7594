import AuditSchema

/// What went wrong between a client and its server: a code to act on, and one sentence for people.
public struct ClientError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Code: Sendable, Hashable {
    /// The text given as an address is none.
    case invalidAddress
    /// Nobody listens at the address.
    case connectionRefused
    /// The address cannot be reached: an unknown host, no route, no permission.
    case unreachable
    /// The connection ended. Of an append under way it is not known whether it was stored.
    case connectionLost
    /// No answer came in time. Of an append it is not known whether it was stored.
    case timeout
    /// The server, or this client in its place, said no; `refusal` has the details.
    case refused(RequestError.Code)
    /// The peer sent what the protocol does not allow; perhaps it is no hubaudit server.
    case protocolViolation
    /// The server answers for another log than the one that was followed.
    case otherLog
    /// The log does not begin with the one that was seen before: it was changed, or cut, or exchanged.
    case tampered
    /// The caller's task was cancelled. An append may be stored nevertheless.
    case cancelled
    /// This client was closed.
    case closed
    /// So many events wait for the server that the queue takes no more; the event was not taken.
    case queueFull
  }

  public var code: Code
  /// What was wrong, where, with which value against which limit, and what to do.
  public var message: String
  /// The server's own words, with `refused`.
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

  /// Whether there is, or was, no connection: another attempt may find one.
  public var isConnectionFailure: Bool {
    switch code {
    case .connectionRefused, .unreachable, .connectionLost, .timeout: true
    default: false
    }
  }

  /// Whether connecting again and asking again may succeed.
  public var isRetryable: Bool {
    if case .refused(let code) = code { return refusal?.isRetryable ?? code.isRetryable }
    return isConnectionFailure
  }

  public var description: String { message }
}
