import AuditSchema
import Logging
import MerkleTree
import NIOCore
import Synchronization

/// One connection to an audit server. It does not reconnect: `LogFollower` and `RemoteAuditLog` do.
///
/// Any number of tasks may use it at the same time; requests are pipelined, and those made together are written together.
public final class AuditClient: Sendable {
  /// What the server said to the hello: its log, its limits, the producer's next number.
  public let welcome: Welcome
  let connection: ClientConnection
  /// Kept, since the memory it encodes in costs more to get than to use.
  private let encoder = Mutex(EventEncoder())

  private init(connection: ClientConnection, welcome: Welcome) {
    self.connection = connection
    self.welcome = welcome
  }

  deinit { connection.close(ClientError(.closed, "the client is gone")) }

  /// Connects and says hello, each within `configuration.timeout`.
  ///
  /// - Throws: `connectionRefused`, `unreachable`, `timeout`; `refused` when the server does not take the hello.
  public static func connect(
    _ configuration: ClientConfiguration, logger: Logger = Logger(label: "hubaudit.client")
  ) async throws(ClientError) -> AuditClient {
    let connection = try await Connector.connect(configuration, logger: logger)
    let hello = Hello(
      hub: configuration.hub, producer: configuration.producer, producerNext: configuration.producerNext, client: configuration.client,
      checkpoints: configuration.checkpoints != nil, sessionToken: configuration.sessionToken)
    do throws(ClientError) {
      let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.hello(id: id, hello) }
      guard case .welcome(let welcome) = reply else { throw ClientError.unexpected(reply, to: "a hello") }
      guard welcome.version == Hello.version else {
        throw ClientError(
          .protocolViolation, "\(configuration.address) speaks protocol version \(welcome.version); this client speaks \(Hello.version)")
      }
      connection.greeted()
      let client = AuditClient(connection: connection, welcome: welcome)
      if let memory = configuration.checkpoints {
        try await client.learnNewest(memory)
        connection.hearCheckpoints { [weak client] note in
          guard let client else { return }
          Task {
            do throws(ClientError) {
              guard let checkpoint = try? SignedCheckpoint(note) else {
                throw ClientError(.tampered, "\(configuration.address) sent a checkpoint that is none")
              }
              try await client.learn(checkpoint, memory)
            } catch  where error.code == .tampered { connection.close(error) } catch {}
          }
        }
      }
      return client
    } catch {
      connection.close(error)
      throw error
    }
  }

  /// The event loop that completions and receivers are called on; `nil` when the connection is closed.
  package var eventLoop: (any EventLoop)? { connection.eventLoop }

  /// Why the connection is closed; `nil` while it is open.
  public var closeReason: ClientError? { connection.closeReason }

  /// Closes the connection. Requests under way fail with `closed`.
  public func close() async { await connection.closeGracefully() }

  // MARK: - Requests

  /// Appends the records of the events, all or none of them, and returns when they are on disk. Many appends may be in flight.
  ///
  /// - Parameters:
  ///   - producerSequence: the number of the first event, for a client whose hello named a producer: an append sent again is stored once.
  ///     Numbers start at 1 and have no gaps.
  ///   - proven: return when a signed checkpoint covers the records; `receipts()` of the result prove them. At most 256 events.
  /// - Throws: `refused` with the server's reason, in which `refusal.event` is the event it is about. After `connectionLost`, `timeout` or
  ///   `cancelled` it is not known whether the events were stored.
  @discardableResult
  public func append(_ events: [Event], producerSequence: UInt64? = nil, proven: Bool = false) async throws(ClientError) -> Appended {
    guard !events.isEmpty else {
      throw ClientError(RequestError(.invalidRequest, "an append without events; give at least one"))
    }
    let encoded: EncodedEvents
    do {
      encoded = try encode(events)
    } catch {
      throw ClientError(error)
    }
    let reply = try await connection.request(appending(encoded, producerSequence: producerSequence, isProven: proven))
    return try Self.appended(reply, events: events.count)
  }

  /// The same for events that are encoded already, without a task that waits: `completion` is called once, on the connection's event loop
  /// unless it fails at once.
  package func append(_ events: EncodedEvents, then completion: @escaping @Sendable (Result<Appended, ClientError>) -> Void) {
    connection.append(events, limit: welcome.limits.frameBytes, then: completion)
  }

  private func appending(_ events: EncodedEvents, producerSequence: UInt64?, isProven: Bool) -> ClientConnection.FrameWriter {
    { [limit = welcome.limits.frameBytes] _, id, outbox throws(RequestError) in
      try ClientConnection.write(events, producerSequence: producerSequence, isProven: isProven, id: id, limit: limit, to: &outbox)
    }
  }

  static func appended(_ reply: ServerFrame.Reply, events: Int) throws(ClientError) -> Appended {
    guard case .appended(let appended) = reply else { throw ClientError.unexpected(reply, to: "an append of \(events) events") }
    guard appended.isAnswer(toEvents: events) else {
      throw ClientError(
        .protocolViolation,
        "the server answered an append of \(events) events with \(appended.recorded) recorded, \(appended.ignoredEvents.count) ignored and "
          + "\(appended.sequences.count) sequences; it does not say what became of each, so none counts as stored")
    }
    return appended
  }

  private func encode(_ events: [Event]) throws(RequestError) -> EncodedEvents {
    try encoder.withLock { encoder throws(RequestError) in
      var encoded = EncodedEvents()
      for (index, event) in events.enumerated() {
        do throws(RequestError) {
          encoded.append(try encoder.encode(event))
        } catch {
          var located = error
          located.event = index
          throw located
        }
      }
      return encoded
    }
  }

  /// Condition and size of the server and its log.
  public func health() async throws(ClientError) -> Health {
    let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.health(id: id) }
    guard case .health(let health) = reply else { throw ClientError.unexpected(reply, to: "a health request") }
    return health
  }

  /// What the server runs with, in the order of `hubaudit config show`; empty for a server that is part of another program.
  public func settings() async throws(ClientError) -> [ServerSetting] {
    let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.settings(id: id) }
    guard case .settings(let settings) = reply else { throw ClientError.unexpected(reply, to: "a request for the settings") }
    return settings
  }

  /// The `google.protobuf.FileDescriptorSet` of the schema that the server was built with, and its SHA-256.
  public func schema() async throws(ClientError) -> (descriptorSet: [UInt8], sha256: [UInt8]) {
    let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.schema(id: id) }
    guard case .schema(let descriptorSet, let sha256) = reply else { throw ClientError.unexpected(reply, to: "a schema request") }
    return (descriptorSet, sha256)
  }

  /// Asks for a sign of life. Returns how long it took.
  @discardableResult
  public func ping(payload: [UInt8] = []) async throws(ClientError) -> Duration {
    let start = ContinuousClock.now
    let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.ping(id: id, payload: payload) }
    guard case .pong(payload) = reply else { throw ClientError.unexpected(reply, to: "a ping") }
    return ContinuousClock.now - start
  }

  // MARK: - Reading and following

  /// The records that the log holds, once, in order; the request is sent when the iteration begins.
  ///
  /// - Parameters:
  ///   - start: backwards, the read begins with the record before this position: `.latest` gives the newest record first.
  ///   - history: what is known of the log from before; the read fails with `refused(.historyDiffers)` when the log is another or went on differently.
  ///   - limit: number of records at most; `nil`: all up to the end of the log at the time of the request.
  public func read(
    from start: Start = .earliest, history: LogHistory? = nil, filter: RecordFilter = RecordFilter(), limit: UInt64? = nil,
    backwards: Bool = false
  ) -> LogRead {
    LogRead(client: self, request: ReadRequest(start: start, history: history, filter: filter, limit: limit, backwards: backwards))
  }

  /// Replays the log from `start` and then follows it, on this connection: it ends with an error when the connection does.
  ///
  /// - Parameters:
  ///   - history: what is known of the log from before, as for `read`.
  ///   - creditBytes: bytes of records that the server may send ahead of the consumer; at most `welcome.limits.creditBytes`.
  public func subscribe(
    from start: Start = .earliest, history: LogHistory? = nil, filter: RecordFilter = RecordFilter(), creditBytes: Int = 1 << 20
  ) -> LogSubscription {
    LogSubscription(client: self, start: start, history: history, filter: filter, creditBytes: creditBytes)
  }

  /// Hands what a subscription is sent to `receiver` as it arrives, on the connection's event loop.
  ///
  /// - Returns: gives the subscription room for so many more bytes.
  package func subscribe(from start: Start, filter: RecordFilter, creditBytes: Int, to receiver: any ReplyReceiver) throws(ClientError)
    -> @Sendable (Int) -> Void
  {
    let request = SubscribeRequest(start: start, filter: filter, credit: UInt64(creditBytes))
    let id = try connection.open(receiver) { encoder, id throws(RequestError) in try encoder.subscribe(id: id, request) }
    return { [connection] bytes in connection.grant(bytes, to: id) }
  }
}

extension ClientError {
  static func unexpected(_ reply: ServerFrame.Reply, to request: String) -> ClientError {
    ClientError(.protocolViolation, "the server answered \(request) with something else; is it a hubaudit server of another version?")
  }
}
