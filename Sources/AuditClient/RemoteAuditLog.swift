import AuditLog
import AuditSchema
import Logging

/// A hub's connection to a remote audit log: a `HubListener` that sends the hub's events to a server.
///
/// Every accepted event is stored once, in order, also across lost connections. Events are numbered, kept in a bounded queue until
/// they are answered, and sent again after a lost connection. They are sent in batches, with several in flight.
///
/// Losses are reported. A full queue throws `queueFull` at once. A refused event throws from `append`; after `enqueue` it is logged. `lost`
/// counts both. The queue is in memory and ends with the process: to know that an event is on disk, await `append`.
public final class RemoteAuditLog: HubListener, Sendable {
  private let delivery: EventDelivery
  private let task: Task<Void, Never>

  /// Starts to connect in the background. Events may be queued at once.
  ///
  /// - Parameters:
  ///   - configuration: `hub` is required. Without a `producer`, this object makes up a unique name. With one, only one process at a time
  ///     may use that name; numbering continues where the server has the producer. If another client takes the producer over, this
  ///     one takes it back; events that may or may not be stored then fail with `refused(.producerNumberUnknown)`.
  ///   - queueEvents: maximum number of events without an answer, at least 1.
  ///   - queueBytes: their maximum bytes, at least 1; an empty queue accepts any event that fits into a frame.
  ///   - logger: reports lost connections and refused events.
  /// - Throws: `refused(.invalidRequest)` without a hub; `invalidConfiguration`.
  public init(
    configuration: ClientConfiguration, queueEvents: Int = 10_000, queueBytes: Int = 16 << 20,
    logger: Logger = Logger(label: "hubaudit.client")
  ) throws(ClientError) {
    guard let hub = configuration.hub, !hub.isEmpty else {
      throw ClientError(RequestError(.invalidRequest, "appending needs the name of a hub, 1 to 256 bytes; set configuration.hub"))
    }
    try configuration.check()
    var configuration = configuration
    configuration.hub = hub
    configuration.producer = configuration.producer ?? Self.uniqueName()
    var limits = ResendQueue.Limits()
    limits.events = max(1, queueEvents)
    limits.bytes = max(1, queueBytes)
    let delivery = EventDelivery(configuration: configuration, limits: limits, logger: logger)
    self.delivery = delivery
    task = Task { await delivery.run() }
  }

  deinit {
    delivery.abandon(Self.closed)
    task.cancel()
  }

  private static let closed = ClientError(.closed, "the remote audit log was closed")

  private static func uniqueName() -> String {
    (0..<2).map { _ in
      let part = String(UInt64.random(in: .min ... .max), radix: 16)
      return String(repeating: "0", count: 16 - part.count) + part
    }.joined()
  }

  /// Number of events that this object did not store: not accepted, refused by the server, or abandoned at `close`.
  public var lost: UInt64 { delivery.lost }

  /// Number of events without an answer.
  public var pending: Int { delivery.pending }

  /// Queues an event and returns when its record is on disk.
  ///
  /// - Throws: `queueFull` and `closed` at once; `refused` if the server does not store the event. After `cancelled` the event stays
  ///   queued and is still sent.
  @discardableResult
  public func append(_ event: Event) async throws(ClientError) -> Appended {
    let cancellation = Cancellation()
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { (waiter: EventDelivery.Waiter) in
        do throws(ClientError) {
          let token = try delivery.enqueue(event, waiter: waiter)
          if cancellation.started(token) { delivery.cancel(token) }
        } catch {
          waiter.resume(returning: .failure(error))
        }
      }
    } onCancel: {
      if let token = cancellation.cancel() { delivery.cancel(token) }
    }
    return try result.get()
  }

  /// Queues an event and returns at once. If the server refuses it, that is logged and counted in `lost`.
  ///
  /// - Throws: `queueFull`, `closed`, or `refused` for an invalid event.
  public func enqueue(_ event: Event) throws(ClientError) { try delivery.enqueue(event) }

  /// Refuses new events, waits up to `flushTimeout` for the answers to the queued ones, and abandons the rest.
  ///
  /// - Returns: number of abandoned events. Those that were in flight may still be stored.
  @discardableResult
  public func close(flushTimeout: Duration = .seconds(5)) async -> Int {
    delivery.refuseEvents(Self.closed)
    let deadline = Task { [delivery] in
      try? await Task.sleep(for: flushTimeout)
      delivery.stopWaiting()
    }
    await delivery.waitUntilEmpty()
    deadline.cancel()
    let count = delivery.abandon(Self.closed)
    task.cancel()
    return count
  }

  // MARK: - HubListener

  // A hub calls its listeners one after the other and waits for each. So these queue the event and do not wait for the server.

  public func onAgentEvent(_ event: AgentEvent) async throws { try enqueue(.agent(event)) }
  public func onChannelEvent(_ event: ChannelEvent) async throws { try enqueue(.channel(event)) }
  public func onExpectationFired(_ event: ExpectationFired) async throws { try enqueue(.expectationFired(event)) }
  public func onTaskEvent(_ event: TaskEvent) async throws { try enqueue(.task(event)) }
  public func onTurnFailed(_ event: TurnFailed) async throws { try enqueue(.turnFailed(event)) }
}
