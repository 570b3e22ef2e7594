import NIOCore

/// Where to connect, as whom, and how long to wait.
public struct ClientConfiguration: Sendable {
  /// How a client that reconnects spaces its attempts: the delay doubles from the minimum to the maximum, each shortened by up to half at
  /// random, and begins anew once a connection has been of use.
  public struct Reconnect: Sendable {
    public var minimumDelay = Duration.milliseconds(50)
    public var maximumDelay = Duration.seconds(5)
    /// Whether to go on when the very first connection fails. Otherwise that is an error: most often the address is wrong.
    public var retriesFirstConnection = false

    public init() {}
  }

  public var address: ServerAddress
  /// Name of the hub, 1 to 256 bytes. Needed for appending only.
  public var hub: String?
  /// Name of the producer, 1 to 64 bytes, unique within the hub: one process at a time may use it.
  public var producer: String?
  /// The number of the first event that the producer still has to send; all below it were answered. For those who number events themselves.
  public var producerNext: UInt64?
  /// The secret that an earlier welcome of this producer gave: takes it back from another client that has taken it over.
  package var sessionToken: [UInt8]?
  /// Name and version of the software, for the server's log; at most 256 bytes.
  public var client = "hubaudit-swift/1"
  /// For connecting, for the hello, and for each request's answer.
  public var timeout = Duration.seconds(5)
  /// A connection on which nothing was received for so long is asked with a ping, and is lost when that is not answered within `timeout`.
  public var keepAlive = Duration.seconds(15)
  /// Bytes of one frame from the server; a longer one ends the connection before any memory is spent on it.
  public var frameBytes = 8 << 20
  public var reconnect = Reconnect()
  /// Remembers the log's checkpoints: the connection ends when the server's log does not begin with the one that was seen last.
  public var checkpoints: CheckpointMemory?
  /// Serves the connection; `nil`: the process's own event loops do.
  package var eventLoops: (any EventLoopGroup)?

  public init(address: ServerAddress, hub: String? = nil, producer: String? = nil) {
    self.address = address
    self.hub = hub
    self.producer = producer
  }
}
