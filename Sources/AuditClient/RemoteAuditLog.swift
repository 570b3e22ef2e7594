import AuditLog
import AuditSchema
import Logging

/// The audit log of a hub that runs elsewhere than the log: hears what happens in the hub and has it recorded by a server.
///
/// Every event that was taken is stored exactly once and in order, however often the connection breaks: events are numbered, kept in a
/// bounded queue until they are answered, and sent again when they were not. They are sent in batches, several at a time in flight.
///
/// Nothing is lost without a word: an event that the queue has no room for throws `queueFull` at once; one that the server refuses throws
/// to who waits for it in `append`, and is logged when nobody does. `lost` counts both. The queue is memory: what is in it goes with the
/// process, so whoever must know that an event is on disk awaits `append`.
public final class RemoteAuditLog: HubListener, Sendable {
  private let delivery: EventDelivery
  private let task: Task<Void, Never>

  /// Begins to connect, in the background; events may be given at once.
  ///
  /// - Parameters:
  ///   - configuration: its `hub` is needed. Without a `producer` a name is made up that is used by this object alone; with one, which must
  ///     then be used by one process at a time, numbering goes on where the server says the producer is. When another client takes the
  ///     producer over, this one takes it back; an event of which nobody can tell whether it is stored fails with
  ///     `refused(.producerNumberUnknown)`.
  ///   - queueEvents, queueBytes: how much may wait for the server.
  /// - Throws: `refused(.invalidRequest)` without a hub.
  public init(
    configuration: ClientConfiguration, queueEvents: Int = 10_000, queueBytes: Int = 16 << 20,
    logger: Logger = Logger(label: "hubaudit.client")
  ) throws(ClientError) {
    guard let hub = configuration.hub, !hub.isEmpty else {
      throw ClientError(RequestError(.invalidRequest, "appending needs the name of a hub, 1 to 256 bytes; set configuration.hub"))
    }
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

  /// Events that were given to this object and that it did not get stored: no room, refused, or not delivered at `close`.
  public var lost: UInt64 { delivery.lost }

  /// Events that wait for the server's answer.
  public var pending: Int { delivery.pending }

  /// Appends the record of one event and returns when it is on disk.
  ///
  /// - Throws: `queueFull` and `closed` at once; `refused` when the server does not store the event. After `cancelled` the event is still
  ///   queued and will be stored.
  @discardableResult
  public func append(_ event: Event) async throws(ClientError) -> Appended {
    let cancellation = Cancellation()
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { (waiter: EventDelivery.Waiter) in
        do throws(ClientError) {
          let token = try delivery.enqueue(event, waiter: waiter)
          if cancellation.isFor(token) { delivery.cancel(token) }
        } catch {
          waiter.resume(returning: .failure(error))
        }
      }
    } onCancel: {
      if let token = cancellation.cancel() { delivery.cancel(token) }
    }
    return try result.get()
  }

  /// Queues an event and returns at once. One that the server refuses is logged and counted in `lost`.
  ///
  /// - Throws: `queueFull`, `closed`, or what is wrong with the event.
  public func enqueue(_ event: Event) throws(ClientError) { try delivery.enqueue(event) }

  /// Takes no more events, waits at most `flushTimeout` for those that it has, and gives up the rest.
  ///
  /// - Returns: number of events given up. Those among them that were in flight may be stored nevertheless.
  @discardableResult
  public func close(flushTimeout: Duration = .seconds(5)) async -> Int {
    delivery.end(Self.closed)
    let deadline = Task { [delivery] in
      try? await Task.sleep(for: flushTimeout)
      delivery.giveUpWaiting()
    }
    await delivery.untilEmpty()
    deadline.cancel()
    let count = delivery.abandon(Self.closed)
    task.cancel()
    return count
  }

  // MARK: - HubListener

  // A hub calls its listeners one after the other while it works: they queue the event and do not wait for the server.

  public func onAgentEvent(_ event: AgentEvent) async throws { try enqueue(.agent(event)) }
  public func onChannelEvent(_ event: ChannelEvent) async throws { try enqueue(.channel(event)) }
  public func onExpectationFired(_ event: ExpectationFired) async throws { try enqueue(.expectationFired(event)) }
  public func onTaskEvent(_ event: TaskEvent) async throws { try enqueue(.task(event)) }
  public func onTurnFailed(_ event: TurnFailed) async throws { try enqueue(.turnFailed(event)) }
}
