import AuditSchema
import Glibc
import Logging
import NIOCore
import Synchronization

/// One connection: sends requests from any task and passes each reply to its request.
///
/// Requests queued before the event loop runs are written together. One lock guards all shared state; continuations resume outside it.
final class ClientConnection: Sendable {
  /// Unread bytes of one read or subscription. Above `stallBytes` the client stops reading the socket; at `resumeBytes` it reads again.
  private static let stallBytes = 1 << 20
  private static let resumeBytes = 256 << 10

  typealias Completion = RequestTable.Completion

  private struct State {
    var channel: (any Channel)?
    var requests = RequestTable()
    let encoder = ClientFrameEncoder()
    var outbox = ByteBuffer()
    var isFlushDue = false
    /// Ids of streams with more than `stallBytes` unread.
    var stalled: Set<UInt64> = []
    var isReading = true
    var lastReceived = NIODeadline.now()
    /// The hello was answered. No other request may be sent before.
    var isGreeted = false
    var isPinging = false
    /// The server's last error about the whole connection, the reason if it closes now.
    var farewell: ClientError?
    var closed: ClientError?
    var hearCheckpoint: (@Sendable ([UInt8]) -> Void)?
  }

  let address: ServerAddress
  private let timeout: TimeAmount
  private let keepAlive: TimeAmount
  /// Maximum bytes of one write. The TLS handler keeps an encrypted copy of a write, in a buffer that stays as large as it was once.
  private let writeBytes: Int
  let logger: Logger
  private let state = Mutex(State())

  init(configuration: ClientConfiguration, logger: Logger) {
    address = configuration.address
    timeout = TimeAmount(configuration.timeout)
    keepAlive = TimeAmount(configuration.keepAlive)
    writeBytes = if case .tls = configuration.address { 64 << 10 } else { .max }
    self.logger = logger
  }

  // MARK: - Requests

  typealias FrameMaker = (ClientFrameEncoder, UInt64) throws(RequestError) -> [UInt8]
  /// Appends one frame to the outbox; on an error it must leave the outbox unchanged.
  typealias FrameWriter = (ClientFrameEncoder, UInt64, inout ByteBuffer) throws(RequestError) -> Void

  private static func writing(_ make: @escaping FrameMaker) -> FrameWriter {
    { encoder, id, outbox throws(RequestError) in outbox.writeBytes(try make(encoder, id)) }
  }

  func request(_ make: @escaping FrameMaker) async throws(ClientError) -> ServerFrame.Reply { try await request(Self.writing(make)) }

  /// Sends a request and returns its reply.
  ///
  /// - Throws: `refused` when the reply is an error, `timeout`, `cancelled`, or the reason why the connection ended.
  func request(_ write: FrameWriter) async throws(ClientError) -> ServerFrame.Reply {
    let cancellation = Cancellation()
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Result<ServerFrame.Reply, ClientError>, Never>) in
        guard let id = send(write, then: { continuation.resume(returning: $0) }) else { return }
        if cancellation.started(id) { cancel(id) }
      }
    } onCancel: {
      if let id = cancellation.cancel() { cancel(id) }
    }
    return try result.get()
  }

  private func cancel(_ id: UInt64) {
    state.withLock { $0.requests.remove(id) }?.fail(.cancelled)
  }

  /// Sends a request. `completion` is called once: on the event loop, or before this returns if the request cannot be sent.
  ///
  /// - Returns: the request's id; `nil` if it was not sent and `completion` was called.
  @discardableResult
  func send(_ write: FrameWriter, then completion: @escaping Completion) -> UInt64? {
    do {
      return try enqueue({ .reply(completion, deadline: $0) }, write)
    } catch {
      completion(.failure(error))
      return nil
    }
  }

  /// Sends an append of encoded events. `completion` is called once: on the event loop, or before this returns if it cannot be sent.
  ///
  /// - Parameter limit: the server's maximum bytes of a frame.
  func append(_ events: EncodedEvents, limit: UInt64, then completion: @escaping RequestTable.AppendCompletion) {
    do {
      _ = try enqueue({ .append(completion, events: events.count, deadline: $0) }) { _, id, outbox throws(RequestError) in
        try Self.write(events, producerSequence: nil, isProven: false, id: id, limit: limit, to: &outbox)
      }
    } catch {
      completion(.failure(error))
    }
  }

  static func write(
    _ events: EncodedEvents, producerSequence: UInt64?, isProven: Bool, id: UInt64, limit: UInt64, to outbox: inout ByteBuffer
  ) throws(RequestError) {
    let frame = AppendFrame(id: id, producerSequence: producerSequence, eventBytes: events.bytes.count, isProven: isProven)
    guard frame.bodyBytes <= limit else {
      throw RequestError(
        .limitExceeded,
        "the append takes \(frame.bodyBytes) bytes; the server's limit is \(limit) bytes (frame_bytes); send fewer or "
          + "shorter events at a time")
    }
    outbox.writeWithUnsafeMutableBytes(minimumWritableBytes: frame.byteCount) { space in
      events.bytes.withUnsafeBytes { frame.write($0, to: space.baseAddress!) }
    }
  }

  /// Sends a request with any number of replies, which go to `stream`.
  ///
  /// - Returns: the request's id.
  func open(_ stream: any ReplyReceiver, _ make: @escaping FrameMaker) throws(ClientError) -> UInt64 {
    try enqueue({ _ in .stream(stream) }, Self.writing(make))
  }

  /// Ends a read or subscription early, here and on the server. Replies that still arrive are dropped.
  func abandon(_ id: UInt64) {
    let known = state.withLock { state in
      state.stalled.remove(id)
      return state.requests.remove(id) != nil
    }
    updateReading()
    guard known else { return }
    sendUnanswered { encoder, request throws(RequestError) in try encoder.unsubscribe(id: request, subscription: id) }
  }

  /// Grants a subscription more credit, in bytes.
  func grant(_ bytes: Int, to id: UInt64) {
    sendUnanswered { encoder, request throws(RequestError) in try encoder.credit(id: request, subscription: id, bytes: UInt64(bytes)) }
  }

  /// Sends a request that has no reply.
  private func sendUnanswered(_ make: @escaping FrameMaker) {
    // Fails only on a closed connection, which has already ended the subscription.
    if let id = try? enqueue({ _ in nil }, Self.writing(make)) { logger.trace("sent", metadata: ["id": "\(id)"]) }
  }

  /// Queues a frame and schedules one flush on the event loop.
  ///
  /// - Parameter waiter: makes the receiver of the reply; `nil` for a request without one.
  private func enqueue(_ waiter: (_ deadline: NIODeadline) -> RequestTable.Waiter?, _ write: FrameWriter) throws(ClientError) -> UInt64 {
    let (result, flush) = state.withLock { state -> (Result<UInt64, ClientError>, (any Channel)?) in
      if let closed = state.closed { return (.failure(closed), nil) }
      let id = state.requests.newID()
      do throws(RequestError) {
        try write(state.encoder, id, &state.outbox)
      } catch {
        return (.failure(ClientError(error)), nil)
      }
      if let waiter = waiter(CoarseClock.now + timeout) { state.requests.add(waiter, id: id) }
      guard !state.isFlushDue else { return (.success(id), nil) }
      state.isFlushDue = true
      return (.success(id), state.channel)
    }
    // Requests queued before the loop runs this go out in the same write.
    flush?.eventLoop.execute { self.flush() }
    return try result.get()
  }

  private func flush() {
    var (channel, bytes) = state.withLock { state in
      state.isFlushDue = false
      let outbox = state.outbox
      // The next flush will need about the same capacity.
      state.outbox = ByteBufferAllocator().buffer(capacity: min(outbox.readableBytes, 256 << 10))
      return (state.channel, outbox)
    }
    guard let channel else { return }
    while bytes.readableBytes > 0, let piece = bytes.readSlice(length: min(bytes.readableBytes, writeBytes)) {
      channel.writeAndFlush(piece, promise: nil)
    }
  }

  // MARK: - For the event loop

  /// Called when the channel is connected, with TLS after the handshake: sends what is queued and starts the deadline timer.
  func opened(_ channel: any Channel) {
    let period = TimeAmount.nanoseconds(min(timeout.nanoseconds, keepAlive.nanoseconds) / 8)
    let interval = min(max(period, .milliseconds(5)), .milliseconds(200))
    let isClosed = state.withLock { state in
      if state.closed == nil { state.channel = channel }
      return state.closed != nil
    }
    // Closed during the TLS handshake.
    guard !isClosed else { return channel.cut() }
    flush()
    let ticks = channel.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] _ in self?.checkDeadlines() }
    channel.closeFuture.whenComplete { _ in ticks.cancel() }
  }

  /// Allows keep-alive pings, after the hello was answered.
  func greeted() { state.withLock { $0.isGreeted = true } }

  /// Sets the receiver of the checkpoints that come with other replies. It is called on the event loop.
  func hearCheckpoints(_ hear: @escaping @Sendable ([UInt8]) -> Void) { state.withLock { $0.hearCheckpoint = hear } }

  /// For a connection without TLS whose server answers with a TLS alert.
  var isTLSServer: ClientError {
    ClientError(.protocolViolation, "\(address) speaks TLS; write hubaudits://\(address)")
  }

  private func heard(_ note: [UInt8]?) {
    guard let note else { return }
    state.withLock { $0.hearCheckpoint }?(note)
  }

  /// Notes the time at which bytes arrived.
  func heardFromServer() { state.withLock { $0.lastReceived = .now() } }

  /// Passes a frame to its request.
  ///
  /// - Throws: `protocolViolation` for a malformed frame.
  func receive(_ bytes: UnsafeRawBufferPointer, in arena: DecodeArena) throws(ClientError) {
    if let ordinary = AppendedFrame(bytes) {
      switch state.withLock({ $0.requests.received(ordinary.id) }) {
      case .append(let completion, let events, _)? where ordinary.appended.recorded == events:
        return completion(.success(ordinary.appended))
      case let waiter?: return answer(waiter, .appended(ordinary.appended))
      case nil: break
      }
    }
    let frame: ServerFrame
    do {
      frame = try ServerFrame(bytes, in: arena)
    } catch {
      throw ClientError(.protocolViolation, "\(address) sent a malformed frame: \(error.message); is it a hubaudit server?")
    }
    guard let id = frame.id else {
      if case .error(let error) = frame.reply { state.withLock { $0.farewell = ClientError(error) } }
      return
    }
    let waiter = state.withLock { $0.requests.received(id) }
    switch waiter {
    case .reply?, .append?: answer(waiter!, frame.reply)
    case .stream(let stream): deliver(frame.reply, of: id, in: bytes, to: stream)
    case nil:
      // The request was cancelled or timed out, or it is one without a reply that was refused.
      if case .error(let error) = frame.reply { logger.debug("late refusal", metadata: ["id": "\(id)", "reason": "\(error.message)"]) }
    }
  }

  /// Completes a request that has one reply.
  private func answer(_ waiter: RequestTable.Waiter, _ reply: ServerFrame.Reply) {
    if case .error(let error) = reply { return waiter.fail(ClientError(error)) }
    if case .appended(let appended) = reply { heard(appended.checkpoint) }
    switch waiter {
    case .reply(let completion, _): completion(.success(reply))
    case .append(let completion, let events, _):
      completion(Result { () throws(ClientError) in try AuditClient.appended(reply, events: events) })
    case .stream: break
    }
  }

  private func deliver(_ reply: ServerFrame.Reply, of id: UInt64, in frame: UnsafeRawBufferPointer, to stream: any ReplyReceiver) {
    switch reply {
    case .records(let next, let leafHash, let batch):
      let waiting = stream.push(records: UnsafeRawBufferPointer(rebasing: frame[batch]), next: next, leafHash: leafHash)
      if waiting > Self.stallBytes { stall(id) }
    case .subscription(.caughtUp(let next, let leafHash, let checkpoint), let erased):
      heard(checkpoint)
      _ = stream.push(.caughtUp(next: next, leafHash: leafHash, erasedSkipped: erased))
    case .subscription(.progress(let next, let leafHash), let erased):
      _ = stream.push(.progress(next: next, leafHash: leafHash, erasedSkipped: erased))
    case .subscription(.ended(_, let error), _): end(id, stream, error)
    case .readEnd(let last):
      _ = stream.push(.readEnd(last))
      end(id, stream, nil)
    case .error(let error): end(id, stream, error)
    default: break
    }
  }

  private func end(_ id: UInt64, _ stream: any ReplyReceiver, _ error: RequestError?) {
    state.withLock { state in
      state.requests.remove(id)
      state.stalled.remove(id)
    }
    stream.finish(error.map { ClientError($0) })
    updateReading()
  }

  /// Fails all requests, after the connection has closed.
  func closed(_ reason: ClientError) {
    let (waiters, error) = state.withLock { state in
      let error = state.closed ?? state.farewell ?? reason
      state.closed = error
      state.channel = nil
      state.outbox = ByteBuffer()
      state.stalled = []
      return (state.requests.removeAll(), error)
    }
    for waiter in waiters { waiter.fail(error) }
  }

  private func checkDeadlines() {
    let now = NIODeadline.now()
    let (overdue, isIdle) = state.withLock { state -> ([RequestTable.Waiter], Bool) in
      // While the client does not read the socket, replies may wait in it: neither a request nor the connection is overdue.
      guard state.isReading else {
        state.lastReceived = now
        return ([], false)
      }
      let isIdle = state.isGreeted && !state.isPinging && now >= state.lastReceived + keepAlive
      if isIdle { state.isPinging = true }
      return (state.requests.removeOverdue(at: now), isIdle)
    }
    let error = ClientError(.timeout, "no answer from \(address) within \(timeout.seconds) (is it overloaded? set a longer timeout)")
    for waiter in overdue { waiter.fail(error) }
    guard isIdle else { return }
    send(Self.writing { encoder, id throws(RequestError) in try encoder.ping(id: id) }) { [weak self] result in
      guard let self else { return }
      state.withLock { $0.isPinging = false }
      if case .failure(let error) = result, error.code == .timeout {
        close(ClientError(.connectionLost, "the connection to \(address) is dead: a ping was not answered within \(timeout.seconds)"))
      }
    }
  }

  // MARK: - Back-pressure

  private func stall(_ id: UInt64) {
    state.withLock { _ = $0.stalled.insert(id) }
    updateReading()
  }

  /// Reads the socket again if the stream's consumer has caught up.
  ///
  /// - Parameter waitingBytes: bytes of the stream that are still unread.
  func taken(_ id: UInt64, waitingBytes: Int) {
    guard waitingBytes <= Self.resumeBytes else { return }
    if state.withLock({ $0.stalled.remove(id) }) != nil { updateReading() }
  }

  private func updateReading() {
    let channel = state.withLock { $0.stalled.isEmpty == $0.isReading ? nil : $0.channel }
    guard let channel else { return }
    channel.eventLoop.execute { [self] in
      let isReading = state.withLock { state in
        state.isReading = state.stalled.isEmpty
        return state.isReading
      }
      channel.setOption(.autoRead, value: isReading).whenFailure { [logger] error in
        logger.debug("autoRead could not be set", metadata: ["reason": "\(error)"])
      }
    }
  }

  // MARK: - The end

  var eventLoop: (any EventLoop)? { state.withLock { $0.channel?.eventLoop } }

  /// Why the connection is closed; `nil` while it is open.
  var closeReason: ClientError? { state.withLock { $0.closed } }

  /// Closes the connection at once. Requests without a reply fail with `reason`.
  func close(_ reason: ClientError) {
    let channel = state.withLock { state in
      if state.closed == nil { state.closed = reason }
      return state.channel
    }
    channel?.cut()
    if channel == nil { closed(reason) }
  }

  /// Sends what is queued, closes the connection and returns when it is closed.
  func closeGracefully() async {
    let channel = state.withLock { state in
      if state.closed == nil { state.closed = ClientError(.closed, "this client was closed") }
      return state.channel
    }
    guard let channel else { return }
    flush()
    guard case .tls = address else {
      try? await channel.close().get()
      return
    }
    // Sends close_notify after what is queued. The server's own is not waited for: no reply is expected any more.
    let deadline = channel.eventLoop.scheduleTask(in: timeout) { channel.cut() }
    channel.close(mode: .output).whenComplete { _ in channel.cut() }
    try? await channel.closeFuture.get()
    deadline.cancel()
  }
}

/// The system's coarse clock (clock_gettime(2), CLOCK_MONOTONIC_COARSE), for the deadlines of requests. It costs a fraction of the exact
/// clock, which matters at a million requests per second.
enum CoarseClock {
  private static let tick: Int64 = {
    var resolution = timespec()
    clock_getres(CLOCK_MONOTONIC_COARSE, &resolution)
    return Int64(resolution.tv_nsec)
  }()

  /// Never before the exact time, and at most one kernel tick (1 to 10 ms) after it.
  static var now: NIODeadline {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
    return .uptimeNanoseconds(UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)) + .nanoseconds(tick)
  }
}

extension TimeAmount {
  /// Text such as "5 s" or "250 ms".
  var seconds: String { nanoseconds % 1_000_000_000 == 0 ? "\(nanoseconds / 1_000_000_000) s" : "\(nanoseconds / 1_000_000) ms" }
}
