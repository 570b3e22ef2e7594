import AuditSchema
import Logging
import MerkleTree
import NIOCore
import Synchronization

/// One connection to an audit server. It does not reconnect; `LogFollower` and `RemoteAuditLog` do.
///
/// Any number of tasks may share a client. Requests are pipelined: a request does not wait for the replies of earlier ones.
public final class AuditClient: Sendable {
  /// The server's answer to the hello: its log, its limits, the producer's next number.
  public let welcome: Welcome
  let connection: ClientConnection
  private let renewal = Mutex<Task<Void, Never>?>(nil)
  /// Reused: allocating its buffer costs more than encoding an event.
  private let encoder = Mutex(EventEncoder())

  private init(connection: ClientConnection, welcome: Welcome) {
    self.connection = connection
    self.welcome = welcome
  }

  deinit {
    renewal.withLock { $0 }?.cancel()
    connection.close(ClientError(.closed, "the client is gone"))
  }

  /// Connects and says hello. Each of the two may take up to `configuration.timeout`; a TLS handshake counts to the hello.
  ///
  /// - Throws: `connectionRefused`, `unreachable`, `connectionLost`, `timeout`; `tlsFailed`, `credentialFile`; `refused` when the server
  ///   rejects the hello; `invalidConfiguration`; `protocolViolation` for a server of another version. With `configuration.checkpoints`, `tampered` when the log is not the remembered
  ///   one.
  public static func connect(
    _ configuration: ClientConfiguration, logger: Logger = Logger(label: "hubaudit.client")
  ) async throws(ClientError) -> AuditClient {
    try configuration.check()
    let token = try await configuration.token?.value()
    let connection = try await Connector.connect(configuration, logger: logger)
    let hello = Hello(
      hub: configuration.hub, producer: configuration.producer, producerNext: configuration.producerNext, client: configuration.client,
      checkpoints: configuration.checkpoints != nil, sessionToken: configuration.sessionToken, token: token)
    do throws(ClientError) {
      let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.hello(id: id, hello) }
      guard case .welcome(let welcome) = reply else { throw ClientError.unexpected(reply, to: "a hello") }
      guard welcome.version == Hello.version else {
        throw ClientError(
          .protocolViolation, "\(configuration.address) speaks protocol version \(welcome.version); this client speaks \(Hello.version)")
      }
      connection.greeted()
      let client = AuditClient(connection: connection, welcome: welcome)
      if let token = configuration.token, token.isRenewable, let expiresAt = welcome.expiresAt {
        let renewal = TokenRenewal(connection: connection, token: token, identity: welcome.identity, expiresAt: expiresAt)
        client.renewal.withLock { $0 = Task { await renewal.run() } }
      }
      if let memory = configuration.checkpoints {
        try await client.learnNewest(memory)
        connection.hearCheckpoints { [weak client] note in
          guard let client else { return }
          Task {
            do throws(ClientError) {
              guard let checkpoint = try? SignedCheckpoint(note) else {
                throw ClientError(.tampered, "\(configuration.address) sent a malformed checkpoint")
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

  /// The event loop on which completions and receivers are called; `nil` once the connection is closed.
  package var eventLoop: (any EventLoop)? { connection.eventLoop }

  /// Why the connection is closed; `nil` while it is open.
  public var closeReason: ClientError? { connection.closeReason }

  /// Sends what is queued, then closes the connection. Requests without a reply fail with `closed`.
  public func close() async {
    renewal.withLock { $0 }?.cancel()
    await connection.closeGracefully()
  }

  // MARK: - Requests

  /// Appends the events, all or none of them, and returns when their records are on disk. Many appends may be in flight.
  ///
  /// - Parameters:
  ///   - events: at least one. Their append must fit into `welcome.limits.frameBytes`.
  ///   - producerSequence: the number of the first event, if the hello named a producer. The server stores each number once, so an append
  ///     may be sent again. Numbers start at 1 and have no gaps.
  ///   - proven: return only when a signed checkpoint covers the records; the result's `receipts()` prove them. At most 256 events.
  /// - Throws: `refused` with the server's reason; `refusal.event` is the index of the event at fault. After `connectionLost`, `timeout`,
  ///   `cancelled` or `closed` the events may or may not be stored.
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

  /// Appends encoded events without suspending a task. `completion` is called once: on the connection's event loop, or before this returns
  /// if the append cannot be sent.
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
          + "\(appended.sequences.count) sequences; these do not add up, so no event counts as stored")
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

  /// State and size of the server and its log.
  ///
  /// - Throws: `refused`, `connectionLost`, `timeout`, `cancelled` or `closed`, like every request.
  public func health() async throws(ClientError) -> Health {
    let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.health(id: id) }
    guard case .health(let health) = reply else { throw ClientError.unexpected(reply, to: "a health request") }
    return health
  }

  /// The server's settings, in the order of `hubaudit config show`. Empty for a server that is embedded in another program.
  public func settings() async throws(ClientError) -> [ServerSetting] {
    let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.settings(id: id) }
    guard case .settings(let settings) = reply else { throw ClientError.unexpected(reply, to: "a request for the settings") }
    return settings
  }

  /// The schema that the server was built with: an encoded `google.protobuf.FileDescriptorSet` and its SHA-256.
  public func schema() async throws(ClientError) -> (descriptorSet: [UInt8], sha256: [UInt8]) {
    let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.schema(id: id) }
    guard case .schema(let descriptorSet, let sha256) = reply else { throw ClientError.unexpected(reply, to: "a schema request") }
    return (descriptorSet, sha256)
  }

  /// Sends a ping and returns the round-trip time.
  ///
  /// - Parameter payload: bytes that the server sends back.
  @discardableResult
  public func ping(payload: [UInt8] = []) async throws(ClientError) -> Duration {
    let start = ContinuousClock.now
    let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.ping(id: id, payload: payload) }
    guard case .pong(payload) = reply else { throw ClientError.unexpected(reply, to: "a ping") }
    return ContinuousClock.now - start
  }

  // MARK: - Reading and following

  /// Reads stored records in order, each once. The request is sent when the iteration begins.
  ///
  /// - Parameters:
  ///   - start: the first record. Backwards, the read begins with the record before this position; `.latest` gives the newest record first.
  ///   - history: the log as this reader last knew it. The read fails with `refused(.historyDiffers)` if the log no longer contains it.
  ///   - filter: selects records; the default selects all.
  ///   - limit: maximum number of records; `nil`: up to the end of the log at the time of the request.
  ///   - backwards: whether to read in descending order.
  public func read(
    from start: Start = .earliest, history: LogHistory? = nil, filter: RecordFilter = RecordFilter(), limit: UInt64? = nil,
    backwards: Bool = false
  ) -> LogRead {
    LogRead(client: self, request: ReadRequest(start: start, history: history, filter: filter, limit: limit, backwards: backwards))
  }

  /// Replays the log from `start`, then follows it. Fails when this connection ends; `LogFollower` reconnects instead.
  ///
  /// - Parameters:
  ///   - start: the first record.
  ///   - history: the log as this reader last knew it, as for `read`.
  ///   - filter: selects records; the default selects all.
  ///   - creditBytes: maximum bytes of records that the server sends ahead of the consumer; 1 to `welcome.limits.creditBytes`.
  public func subscribe(
    from start: Start = .earliest, history: LogHistory? = nil, filter: RecordFilter = RecordFilter(), creditBytes: Int = 1 << 20
  ) -> LogSubscription {
    LogSubscription(client: self, start: start, history: history, filter: filter, creditBytes: creditBytes)
  }

  /// Subscribes; `receiver` is called on the connection's event loop.
  ///
  /// - Returns: a function that grants the subscription more credit, in bytes.
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
    ClientError(
      .protocolViolation, "the server answered \(request) with a reply of another type; is it a hubaudit server of another version?")
  }
}
