import AuditSchema
import Logging
import NIOCore
import Synchronization

/// Delivers the events of `RemoteAuditLog`: one task keeps a connection and sends the batches of `ResendQueue`.
final class EventDelivery: Sendable {
  typealias Waiter = CheckedContinuation<Result<Appended, ClientError>, Never>

  private struct State {
    var queue: ResendQueue
    let encoder = EventEncoder()
    var waiters: [ResendQueue.Token: Waiter] = [:]
    var lost: UInt64 = 0
    /// Why new events are refused; `nil` while they are accepted.
    var end: ClientError?
    var hasConnected = false
    /// An event was stored or finally refused since the backoff was reset.
    var hasProgressed = false
    var isPauseDue = false
    var isReconnectDue = false
    /// Proves to the server that this client owned the producer before.
    var sessionToken: [UInt8]?
    var whenEmpty: [CheckedContinuation<Void, Never>] = []
  }

  private let configuration: ClientConfiguration
  private let logger: Logger
  private let state: Mutex<State>
  private let wakes: AsyncStream<Void>
  private let wake: AsyncStream<Void>.Continuation

  init(configuration: ClientConfiguration, limits: ResendQueue.Limits, logger: Logger) {
    self.configuration = configuration
    self.logger = logger
    state = Mutex(State(queue: ResendQueue(limits: limits)))
    (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Number of events that this object will not store: not accepted, refused, or abandoned.
  var lost: UInt64 { state.withLock { $0.lost } }

  /// Number of events without an answer.
  var pending: Int { state.withLock { $0.queue.count } }

  // MARK: - From the hub

  /// Queues an event. `waiter`, if given, gets its answer.
  ///
  /// - Throws: `queueFull`, `closed`, or `refused` for an invalid event; `waiter` is then not resumed.
  @discardableResult
  func enqueue(_ event: Event, waiter: Waiter? = nil) throws(ClientError) -> ResendQueue.Token {
    let result = state.withLock { state -> Result<ResendQueue.Token, ClientError> in
      if let end = state.end {
        state.lost += 1
        return .failure(end)
      }
      do throws(RequestError) {
        guard let token = try state.queue.enqueue(try state.encoder.encode(event)) else {
          state.lost += 1
          return .failure(
            ClientError(
              .queueFull,
              "the queue for \(configuration.address) is full (\(state.queue.count) events, \(state.queue.bytes) bytes); "
                + "the event was not accepted; offer it again later, or raise queueEvents or queueBytes"))
        }
        if let waiter { state.waiters[token] = waiter }
        return .success(token)
      } catch {
        state.lost += 1
        return .failure(ClientError(error))
      }
    }
    wake.yield()
    return try result.get()
  }

  /// Fails the waiter of an event with `cancelled`. The event stays queued.
  func cancel(_ token: ResendQueue.Token) {
    state.withLock { $0.waiters.removeValue(forKey: token) }?.resume(returning: .failure(.cancelled))
  }

  /// Refuses new events from now on.
  func refuseEvents(_ reason: ClientError) { state.withLock { if $0.end == nil { $0.end = reason } } }

  /// Returns when the queue is empty, or when `stopWaiting` is called.
  func waitUntilEmpty() async {
    await withCheckedContinuation { continuation in
      let isEmpty = state.withLock { state in
        if !state.queue.isEmpty { state.whenEmpty.append(continuation) }
        return state.queue.isEmpty
      }
      if isEmpty { continuation.resume() }
    }
  }

  /// Resumes the callers of `waitUntilEmpty`.
  func stopWaiting() {
    let waiting = state.withLock { state in
      defer { state.whenEmpty = [] }
      return state.whenEmpty
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Fails all events without an answer and returns their number.
  @discardableResult
  func abandon(_ reason: ClientError) -> Int {
    let (waiters, count) = state.withLock { state -> ([Waiter], Int) in
      if state.end == nil { state.end = reason }
      let tokens = state.queue.removeAll()
      state.lost += UInt64(tokens.count)
      return (tokens.compactMap { state.waiters.removeValue(forKey: $0) }, tokens.count)
    }
    if count > 0 { logger.error("events were not delivered", metadata: ["count": "\(count)", "reason": "\(reason.message)"]) }
    for waiter in waiters { waiter.resume(returning: .failure(reason)) }
    stopWaiting()
    return count
  }

  // MARK: - The task

  /// Delivers until the task is cancelled. Ends before if the server refuses the first connection for good.
  func run() async {
    var backoff = Backoff(configuration.reconnect)
    var wakes = wakes.makeAsyncIterator()
    /// The reason that was reported last, about credentials.
    var reported: String?
    while !Task.isCancelled {
      var configuration = configuration
      (configuration.producerNext, configuration.sessionToken) = state.withLock { ($0.queue.helloNumber, $0.sessionToken) }
      var reason: ClientError
      do throws(ClientError) {
        let client = try await AuditClient.connect(configuration, logger: logger)
        reported = nil
        reason = await serve(client, &wakes, &backoff)
        await client.close()
      } catch {
        reason = error
        if let refusal = error.refusal, refusal.code == .producerGap, let expected = refusal.expectedProducerSequence {
          state.withLock { $0.queue.refused(expectedNumber: expected) }
        }
      }
      let (isFatal, isReconnectDue) = state.withLock { state in
        state.queue.disconnected()
        state.isPauseDue = false
        defer { state.isReconnectDue = false }
        let isRetryable = reason.isRetryable || reason.isAboutCredentials
        return (state.end == nil && !state.hasConnected && !isRetryable, state.isReconnectDue)
      }
      if state.withLock({ $0.queue.isEmpty }) { stopWaiting() }
      if Task.isCancelled { return }
      // A refusal before the first success is a wrong configuration. Later the server's operator may correct it, so the client retries.
      if isFatal {
        abandon(reason)
        return
      }
      let hasProgressed = state.withLock { state in
        defer { state.hasProgressed = false }
        return state.hasProgressed
      }
      if hasProgressed { backoff.reset() }
      if isReconnectDue, hasProgressed { continue }
      let metadata: Logger.Metadata = ["reason": "\(reason.message)", "waiting": "\(pending)"]
      if !reason.isAboutCredentials {
        logger.warning("not connected", metadata: metadata)
      } else if reported != reason.message {
        reported = reason.message
        logger.error("not connected: the credentials are not accepted; events are kept, and new credentials are tried", metadata: metadata)
      }
      try? await Task.sleep(for: backoff.next())
    }
  }

  /// Sends on one connection until it must end, and returns the reason.
  private func serve(
    _ client: AuditClient, _ wakes: inout AsyncStream<Void>.AsyncIterator, _ backoff: inout Backoff
  ) async -> ClientError {
    perform(
      state.withLock { state in
        state.hasConnected = true
        state.sessionToken = client.welcome.sessionToken
        return state.queue.connected(
          ResendQueue.Standing(
            next: client.welcome.producerNext ?? 1, takenAt: client.welcome.producerTakenAt,
            isForgotten: client.welcome.isProducerForgotten),
          frameBytes: Int(client.welcome.limits.frameBytes))
      })
    if let taken = client.welcome.producerTakenAt {
      logger.error(
        "another client had taken this producer over; its name is for one process at a time",
        metadata: ["producer": "\(configuration.producer ?? "")", "from": "\(taken)", "next": "\(client.welcome.producerNext ?? 1)"])
    }
    while !Task.isCancelled {
      while let batch = state.withLock({ $0.queue.nextBatch() }) { send(batch, on: client) }
      if let reason = client.closeReason { return reason }
      let (isReconnectDue, isPauseDue) = state.withLock { state in
        defer { state.isPauseDue = false }
        return (state.isReconnectDue, state.isPauseDue)
      }
      if isReconnectDue { return ClientError(.connectionLost, "reconnecting, to agree with the server on the events' numbers") }
      if isPauseDue {
        try? await Task.sleep(for: backoff.next())
        state.withLock { $0.queue.resume() }
        continue
      }
      guard await wakes.next() != nil else { break }
      if state.withLock({ $0.hasProgressed }) { backoff.reset() }
    }
    return .cancelled
  }

  private func send(_ batch: ResendQueue.Batch, on client: AuditClient) {
    client.connection.send({ _, id, outbox in
      outbox.writeBytes(ClientFrameEncoder.append(id: id, producerSequence: batch.firstNumber, events: batch.events))
    }) { [weak self, weak client] result in
      guard let self else { return }
      switch result {
      case .success(.appended(let appended)) where appended.isAnswer(toEvents: batch.events.count): answered(batch.id, .success(appended))
      case .success(.appended):
        answered(
          batch.id,
          .failure(
            RequestError(
              .internal,
              "the server's answer to an append of \(batch.events.count) events has wrong counts; the events may or may not be stored"
            )))
      case .success(let reply): client?.connection.close(ClientError.unexpected(reply, to: "an append"))
      case .failure(let error):
        if let refusal = error.refusal, !refusal.code.endsConnection {
          answered(batch.id, .failure(refusal))
        } else {
          // The batch may be stored. It is sent again with the same numbers, so no event is stored twice.
          client?.connection.close(error)
        }
      }
      wake.yield()
    }
  }

  private func answered(_ id: UInt64, _ answer: Result<Appended, RequestError>) {
    let (actions, isEmpty) = state.withLock { state in
      if case .success = answer { state.hasProgressed = true }
      return (state.queue.answered(id, answer), state.queue.isEmpty)
    }
    perform(actions)
    if isEmpty { stopWaiting() }
  }

  private func perform(_ actions: [ResendQueue.Action]) {
    for action in actions {
      switch action {
      case .resolve(let token, let appended):
        state.withLock { $0.waiters.removeValue(forKey: token) }?.resume(returning: .success(appended))
      case .fail(let token, let error):
        let waiter = state.withLock { state in
          state.lost += 1
          state.hasProgressed = state.hasProgressed || error.code.provesNothingStored
          return state.waiters.removeValue(forKey: token)
        }
        if let waiter {
          waiter.resume(returning: .failure(ClientError(error)))
        } else {
          logger.error("an event was refused and is lost", metadata: ["reason": "\(error.message)"])
        }
      case .pause: state.withLock { $0.isPauseDue = true }
      case .reconnect: state.withLock { $0.isReconnectDue = true }
      }
    }
  }
}
