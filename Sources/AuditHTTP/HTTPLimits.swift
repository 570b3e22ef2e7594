/// The memory and time that a listener's peers may use.
public struct HTTPLimits: Sendable {
  /// Maximum number of connections. Above it, a new one replaces one that waits for a request. Default 128.
  public var connections = 128
  /// Maximum bytes of a request's header fields together. Default 16 KiB.
  public var headBytes = 16 << 10
  /// Maximum number of a request's header fields. Default 64.
  public var headFields = 64
  /// Maximum bytes of a request's body. Default 0.
  public var bodyBytes = 0
  /// Maximum bytes of the bodies and answers of all connections. Above it, the connection with the oldest request is closed. Default 32
  /// MiB.
  public var heldBytes = 32 << 20
  /// Maximum time from the connection, or the last answer, to the first byte of a request. Default 30 s.
  public var idleTimeout = Duration.seconds(30)
  /// Maximum time from the first byte of a request to the end of its head, and for a TLS handshake. Default 10 s.
  public var headTimeout = Duration.seconds(10)
  /// Maximum time from the head of a request to the end of its body. Default 20 s.
  public var bodyTimeout = Duration.seconds(20)
  /// Maximum time from the start of an answer until the kernel has taken all of it. Default 30 s.
  public var answerTimeout = Duration.seconds(30)
  /// Number of threads for answers that block. The requests that wait for a thread are bounded by `connections`. Default 2.
  public var workers = 2

  public init() {}

  /// Maximum number of TLS handshakes at once. Above it, the one that has taken longest is closed. A fourth of the connections, and 256 at most:
  /// so peers that never finish their handshake take no place of those that have.
  public var handshakes: Int { min(256, max(1, connections / 4)) }
}
