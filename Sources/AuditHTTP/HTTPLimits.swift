/// What a listener holds for its peers, and for how long it waits for them.
public struct HTTPLimits: Sendable {
  /// Connections at a time. Beyond it one that waits for a request makes room for the new one.
  public var connections = 128
  /// Bytes of a request's header fields together.
  public var headBytes = 16 << 10
  /// Header fields of a request.
  public var headFields = 64
  /// Bytes of a request's body.
  public var bodyBytes = 0
  /// Bytes of bodies and answers of all connections. Beyond it the connection that has been at its request for longest is closed.
  public var heldBytes = 32 << 20
  /// From the connection, or from the last answer, to the first byte of a request.
  public var idleTimeout = Duration.seconds(30)
  /// From the first byte of a request to the end of its head.
  public var headTimeout = Duration.seconds(10)
  /// From the head of a request to the end of its body.
  public var bodyTimeout = Duration.seconds(20)
  /// From the beginning of an answer until the peer has taken all of it.
  public var answerTimeout = Duration.seconds(30)
  /// Threads for answers that block; requests that wait for one are as many as there are connections.
  public var workers = 2

  public init() {}
}
