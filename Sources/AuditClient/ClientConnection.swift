import AuditSchema
import Glibc
import Logging
import NIOCore
import Synchronization

/// One connection: sends requests from any task and hands each reply to the request that waits for it.
///
/// Requests of one turn of the event loop are written together. Everything that is shared lies under one lock; continuations are resumed
/// outside of it.
final class ClientConnection: Sendable {
  /// A read's unread bytes: over the first the socket is not read from, under the second it is again.
  private static let stallBytes = 1 << 20
  private static let resumeBytes = 256 << 10

  typealias Completion = RequestTable.Completion

  private struct State {
    var channel: (any Channel)?
    var requests = RequestTable()
    let encoder = ClientFrameEncoder()
    var outbox = ByteBuffer()
    var isFlushDue = false
    /// Reads whose consumer is behind.
    var stalled: Set<UInt64> = []
    var isReading = true
    var lastReceived = NIODeadline.now()
    /// The hello was answered: before it nothing else may be asked.
    var isGreeted = false
    var isPinging = false
    /// What the server said about the connection as a whole.
    var farewell: ClientError?
    var closed: ClientError?
    var hearCheckpoint: (@Sendable ([UInt8]) -> Void)?
  }

  let address: ServerAddress
  private let timeout: TimeAmount
  private let keepAlive: TimeAmount
  let logger: Logger
  private let state = Mutex(State())

  init(configuration: ClientConfiguration, logger: Logger) {
    address = configuration.address
    timeout = TimeAmount(configuration.timeout)
    keepAlive = TimeAmount(configuration.keepAlive)
    self.logger = logger
  }

  // MARK: - Requests

  typealias FrameMaker = (ClientFrameEncoder, UInt64) throws(RequestError) -> [UInt8]
  /// Writes a frame, whole or not at all, behind what is to be sent.
  typealias FrameWriter = (ClientFrameEncoder, UInt64, inout ByteBuffer) throws(RequestError) -> Void

  private static func writing(_ make: @escaping FrameMaker) -> FrameWriter {
    { encoder, id, outbox throws(RequestError) in outbox.writeBytes(try make(encoder, id)) }
  }

  func request(_ make: @escaping FrameMaker) async throws(ClientError) -> ServerFrame.Reply { try await request(Self.writing(make)) }

  /// Sends a request and returns its reply.
  ///
  /// - Throws: `refused` when the reply is an error, `timeout`, `cancelled`, and whatever ended the connection.
  func request(_ write: FrameWriter) async throws(ClientError) -> ServerFrame.Reply {
    let cancellation = Cancellation()
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Result<ServerFrame.Reply, ClientError>, Never>) in
        guard let id = send(write, then: { continuation.resume(returning: $0) }) else { return }
        if cancellation.isFor(id) { cancel(id) }
      }
    } onCancel: {
      if let id = cancellation.cancel() { cancel(id) }
    }
    return try result.get()
  }

  private func cancel(_ id: UInt64) {
    state.withLock { $0.requests.remove(id) }?.fail(.cancelled)
  }

  /// Sends a request; `completion` is called once, on the event loop unless it fails at once.
  ///
  /// - Returns: the request's id; `nil` when it was not sent and `completion` has been called.
  @discardableResult
  func send(_ write: FrameWriter, then completion: @escaping Completion) -> UInt64? {
    do {
      return try enqueue({ .reply(completion, deadline: $0) }, write)
    } catch {
      completion(.failure(error))
      return nil
    }
  }

  /// Sends an append of encoded events; `completion` is called once, on the event loop unless it fails at once.
  ///
  /// - Parameter limit: bytes of a frame that the server takes.
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

  /// Sends a request whose replies go to `stream`.
  ///
  /// - Returns: the request's id.
  func open(_ stream: any ReplyReceiver, _ make: @escaping FrameMaker) throws(ClientError) -> UInt64 {
    try enqueue({ _ in .stream(stream) }, Self.writing(make))
  }

  /// Ends a stream of replies before its end. What still arrives for it is passed over.
  func abandon(_ id: UInt64) {
    let known = state.withLock { state in
      state.stalled.remove(id)
      return state.requests.remove(id) != nil
    }
    updateReading()
    guard known else { return }
    tell { encoder, request throws(RequestError) in try encoder.unsubscribe(id: request, subscription: id) }
  }

  /// Gives a subscription room for more bytes.
  func grant(_ bytes: Int, to id: UInt64) {
    tell { encoder, request throws(RequestError) in try encoder.credit(id: request, subscription: id, bytes: UInt64(bytes)) }
  }

  /// Sends a request that is answered with nothing.
  private func tell(_ make: @escaping FrameMaker) {
    // It can only fail when the connection is gone, which ends what the request was about.
    if let id = try? enqueue({ _ in nil }, Self.writing(make)) { logger.trace("sent", metadata: ["id": "\(id)"]) }
  }

  /// - Parameter waiter: who waits for the reply, until the deadline that it is given.
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
    // Whoever else sends until the loop comes to this is written with it.
    flush?.eventLoop.execute { self.flush() }
    return try result.get()
  }

  private func flush() {
    let (channel, bytes) = state.withLock { state in
      state.isFlushDue = false
      let outbox = state.outbox
      // The next ones will need about as much room.
      state.outbox = ByteBufferAllocator().buffer(capacity: min(outbox.readableBytes, 256 << 10))
      return (state.channel, outbox)
    }
    if bytes.readableBytes > 0 { channel?.writeAndFlush(bytes, promise: nil) }
  }

  // MARK: - For the event loop

  /// The channel is connected.
  func opened(_ channel: any Channel) {
    let period = TimeAmount.nanoseconds(min(timeout.nanoseconds, keepAlive.nanoseconds) / 8)
    let interval = min(max(period, .milliseconds(5)), .milliseconds(200))
    state.withLock { $0.channel = channel }
    flush()
    let ticks = channel.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] _ in self?.checkDeadlines() }
    channel.closeFuture.whenComplete { _ in ticks.cancel() }
  }

  /// The hello was answered.
  func greeted() { state.withLock { $0.isGreeted = true } }

  /// Hands over the checkpoints that come with other replies.
  func hearCheckpoints(_ hear: @escaping @Sendable ([UInt8]) -> Void) { state.withLock { $0.hearCheckpoint = hear } }

  private func heard(_ note: [UInt8]?) {
    guard let note else { return }
    state.withLock { $0.hearCheckpoint }?(note)
  }

  /// Something arrived.
  func heardFromServer() { state.withLock { $0.lastReceived = .now() } }

  /// A frame arrived.
  ///
  /// - Throws: `protocolViolation` for one that is none.
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
      throw ClientError(.protocolViolation, "\(address) sent a frame that cannot be read: \(error.message); is it a hubaudit server?")
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
      // An answer that nobody waits for any more, or to a request that is answered only when it is refused.
      if case .error(let error) = frame.reply { logger.debug("late refusal", metadata: ["id": "\(id)", "reason": "\(error.message)"]) }
    }
  }

  /// Hands its reply to a request that is answered once.
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

  /// The connection is gone: everybody who waits hears why.
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
      // Replies may lie in the socket, which is not read from as long as a consumer is behind.
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

  /// The consumer of a read took something.
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
        logger.debug("reading could not be switched", metadata: ["reason": "\(error)"])
      }
    }
  }

  // MARK: - The end

  var eventLoop: (any EventLoop)? { state.withLock { $0.channel?.eventLoop } }

  /// Why the connection is closed; `nil` while it is open.
  var closeReason: ClientError? { state.withLock { $0.closed } }

  /// Ends the connection; all that is under way fails with `reason`.
  func close(_ reason: ClientError) {
    let channel = state.withLock { state in
      if state.closed == nil { state.closed = reason }
      return state.channel
    }
    channel?.close(promise: nil)
    if channel == nil { closed(reason) }
  }

  /// Ends the connection when what was sent before is written, and returns when it is closed.
  func closeGracefully() async {
    let channel = state.withLock { state in
      if state.closed == nil { state.closed = ClientError(.closed, "this client was closed") }
      return state.channel
    }
    guard let channel else { return }
    flush()
    try? await channel.close().get()
  }
}

/// The system's coarse clock (clock_gettime(2), CLOCK_MONOTONIC_COARSE), which costs a fraction of the exact one: for deadlines of requests
/// that are sent by the million.
enum CoarseClock {
  private static let tick: Int64 = {
    var resolution = timespec()
    clock_getres(CLOCK_MONOTONIC_COARSE, &resolution)
    return Int64(resolution.tv_nsec)
  }()

  /// At most a few milliseconds late, never early.
  static var now: NIODeadline {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
    return .uptimeNanoseconds(UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)) + .nanoseconds(tick)
  }
}

extension TimeAmount {
  /// For people: "5 s", "250 ms".
  var seconds: String { nanoseconds % 1_000_000_000 == 0 ? "\(nanoseconds / 1_000_000_000) s" : "\(nanoseconds / 1_000_000) ms" }
}
