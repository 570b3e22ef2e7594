import NIOCore

/// Where to connect, as whom, and how long to wait.
public struct ClientConfiguration: Sendable {
  /// Delays between attempts to reconnect. Each delay doubles, up to the maximum, and is shortened by a random part of up to half. After
  /// progress the next delay is the minimum again.
  public struct Reconnect: Sendable {
    /// The first delay, at least 1 ms. Default 50 ms.
    public var minimumDelay = Duration.milliseconds(50)
    /// The longest delay. Default 5 s.
    public var maximumDelay = Duration.seconds(5)
    /// Whether `LogFollower` retries when the first connection fails. Default `false`: it throws, since the address is probably wrong.
    /// `RemoteAuditLog` always retries a failed connection.
    public var retriesFirstConnection = false

    public init() {}
  }

  /// Where the server listens.
  public var address: ServerAddress
  /// Trust and certificates for a `.tls` address; `nil`: the system's roots, and no certificate of the client's.
  public var tls: ClientTLS?
  /// Says who this client is. It is sent only over TLS, a Unix socket or loopback.
  public var token: ClientToken?
  /// Name of the hub, 1 to 256 bytes. Needed only to append.
  public var hub: String?
  /// Name of the producer, 1 to 64 bytes, unique within the hub. One process at a time may use it. `nil`: events have no numbers.
  public var producer: String?
  /// The number of the producer's first event without an answer, for callers that number events themselves. `nil`: the server's number.
  public var producerNext: UInt64?
  /// The secret of an earlier welcome. With it this client takes the producer back from a client that took it over.
  package var sessionToken: [UInt8]?
  /// Name and version of the software, for the server's log; at most 256 bytes.
  public var client = "hubaudit-swift/1"
  /// Maximum wait for the connection, for the hello's answer, and for each request's answer. Default 5 s.
  public var timeout = Duration.seconds(5)
  /// After this time without a byte from the server, the client sends a ping. Without a pong within `timeout` the connection counts as
  /// lost. Default 15 s.
  public var keepAlive = Duration.seconds(15)
  /// Maximum bytes of a frame from the server. A longer one ends the connection before memory is allocated for it. Default 8 MiB.
  public var frameBytes = 8 << 20
  /// Delays between attempts to reconnect.
  public var reconnect = Reconnect()
  /// Remembers the log's checkpoints. The connection ends with `tampered` when the server's log does not extend the remembered checkpoint.
  public var checkpoints: CheckpointMemory?
  /// The event loops of the connection; `nil`: SwiftNIO's shared ones.
  package var eventLoops: (any EventLoopGroup)?

  /// - Parameters: see the properties of the same names.
  public init(address: ServerAddress, hub: String? = nil, producer: String? = nil) {
    self.address = address
    self.hub = hub
    self.producer = producer
  }
}
