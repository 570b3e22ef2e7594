import AuditLog
import AuditSchema
import Logging
import NIOCore

/// One connection: who it is, what it has under way, and what is written to it. Lives on its lane's event loop.
///
/// What every append touches is not checked for overlapping accesses: the checks cost the server a tenth of its time. No access to it
/// calls anything that could come back here.
final class Session {
  private enum Phase {
    case awaitingHello(until: NIODeadline)
    /// The sequencer has been asked for the producer's next number.
    case greeting
    case open
    /// No more requests; closes when everything under way is answered.
    case draining
    case ending
  }

  let server: AuditServer
  let lane: Lane
  /// The server's, at hand: all loops' connections share the server, and to take hold of it for each append would make them wait for each other.
  let limits: WireLimits
  /// What the lane knows it by.
  private(set) var serial: UInt64 = 0
  private let channel: any Channel
  @exclusivity(unchecked) private var phase: Phase
  /// What this connection's numbered appends are judged by before they are translated.
  @exclusivity(unchecked) var numbers = NumberedAppends()
  var lookUps = NumberLookUps()
  @exclusivity(unchecked) var source: AppendSource?
  var logger: Logger
  /// Holds what was received while the session was paused.
  weak var handler: SessionHandler?

  @exclusivity(unchecked) var pendingBytes = 0
  @exclusivity(unchecked) var pendingAppends = 0
  /// Requests that wait for a checkpoint.
  var checkpointWaits = 0
  private var jobs = 0
  /// Steps whose results will be written.
  private var stepsUnderWay = 0
  @exclusivity(unchecked) private var isReadingStopped = false
  /// The peer has shut its sending side down: it asks nothing more, and may still read.
  private var isInputClosed = false
  /// Since when a frame is begun and not finished.
  @exclusivity(unchecked) private(set) var incompleteSince: NIODeadline?
  /// Memory of what was received and is no whole frame yet.
  private var heldBytes = 0
  @exclusivity(unchecked) private var unsent = UnsentBytes()

  /// Frames are held until the work at hand is done, up to this many bytes.
  private static let heldFrameBytes = 256 << 10
  /// What a peer may leave untaken when all peers together have left too much.
  private static let crowdedBytes = 64 << 10
  @exclusivity(unchecked) private var frames = ByteBuffer()
  @exclusivity(unchecked) private var isDirty = false
  @exclusivity(unchecked) private var hasUnflushed = false

  /// Whether the hello asked for checkpoints, and the size of the one told last.
  @exclusivity(unchecked) var wantsCheckpoints = false
  var toldCheckpoint: StoredCheckpoint?

  var subscriptions: [UInt64: Subscription] = [:]
  var reads: [UInt64: LogRead] = [:]
  /// Memory of the filters of all of them.
  var filterBytes = 0

  init(server: AuditServer, lane: Lane, channel: any Channel) {
    self.server = server
    self.lane = lane
    self.channel = channel
    limits = server.configuration.limits
    phase = .awaitingHello(until: .now() + TimeAmount(server.configuration.helloTimeout))
    logger = server.logger
    logger[metadataKey: "peer"] = "\(channel.remoteAddress?.description ?? "unix")"
  }

  // MARK: - Life

  func opened() {
    serial = lane.add(self)
    let limit = server.configuration.connections
    let count = server.connections.opened()
    if server.isDraining { return fail(SchemaError(.draining, "the server is shutting down; connect again")) }
    if count > limit, !lane.makeRoom() {
      fail(SchemaError(.tooManyConnections, "\(limit) connections are open, which is the limit; try again later"))
      // Only so many get the time to read that; a flood of them must not use up the process's files.
      if count > limit + AuditServer.refusedConnections { channel.close(promise: nil) }
      return
    }
    lane.awaitHello(self)
  }

  /// Gives its place to a new connection, if it has not said hello yet or is about to close anyway.
  ///
  /// - Returns: false when it keeps its place or has none.
  func giveWay() -> Bool {
    switch phase {
    case .greeting, .open, .draining: return false
    case .awaitingHello:
      fail(
        SchemaError(
          .tooManyConnections,
          "\(server.configuration.connections) connections are open, which is the limit, and this one went without a hello longest; "
            + "connect again and say hello at once"))
    case .ending: break
    }
    guard !isClosing else { return false }
    close()
    return true
  }

  func closed() {
    phase = .ending
    isClosing = true
    letGo()
    lane.remove(self)
    if let source, source.origin.producer != nil {
      // Behind what it has appended.
      lane.submit()
      lane.log.sequencer.release(source)
    }
    server.connections.closed()
    for subscription in subscriptions.values {
      subscription.end()
      letGo(of: subscription.filter)
      lane.unfollow(subscription)
    }
    server.subscriptions.subtract(subscriptions.count, ordering: .relaxed)
    subscriptions.removeAll()
    for read in reads.values {
      read.cancel()
      letGo(of: read.filter)
    }
    reads.removeAll()
  }

  /// Whether received frames must wait.
  var isPaused: Bool {
    switch phase {
    case .greeting, .draining, .ending: true
    case .awaitingHello, .open: isReadingStopped || numbers.isChecking
    }
  }

  var isAwaitingHello: Bool { if case .awaitingHello = phase { true } else { false } }

  var isEnding: Bool { if case .ending = phase { true } else { false } }

  /// Whether the peer may be written more: it takes what it is given, or there is room for what it does not take.
  func canWrite() -> Bool {
    guard !isEnding, channel.isWritable else { return false }
    guard lane.isCrowded else { return true }
    lookAtUnsent(.now())
    return !lane.isCrowded || unsent.count + stepsUnderWay * lane.stepBytes <= Self.crowdedBytes
  }

  /// Bytes that the next frame may have.
  var frameLimit: Int {
    if case .awaitingHello = phase { return server.configuration.helloBytes }
    return Int(limits.frameBytes)
  }

  /// Says what is wrong and ends the connection when that is written.
  func fail(_ error: SchemaError, id: UInt64? = nil) {
    guard !isEnding else { return }
    logger.notice("connection ended", metadata: ["code": "\(error.code)", "reason": "\(error.message)"])
    write(lane.encoder.error(id: id, error))
    phase = .ending
    closeOutput()
    // The peer gets its time to read the error; then the connection goes, whether it closes its side or not.
    closeBy = .now() + TimeAmount(server.configuration.helloTimeout)
  }

  private var closeBy: NIODeadline?
  private var isClosing = false

  private func close() {
    isClosing = true
    letGo()
    channel.close(promise: nil)
  }

  /// Closes the sending side when everything is written, and with it the connection where the peer has closed the other side.
  private func closeOutput() {
    flushFrames()
    guard isInputClosed else { return channel.close(mode: .output, promise: nil) }
    // Closing the second side closes at once, and what is not written would be lost.
    let written = channel.eventLoop.makePromise(of: Void.self)
    written.futureResult.whenComplete { [channel] _ in channel.close(promise: nil) }
    channel.writeAndFlush(ByteBuffer(), promise: written)
  }

  /// The peer sends nothing more. What it asked for is answered, then the connection closes.
  func inputClosed() {
    isInputClosed = true
    if case .awaitingHello = phase {
      phase = .ending
      return close()
    }
    finishIfDone()
  }

  /// Lets go of received bytes that will not be looked at.
  private func letGoOfReceived() {
    handler?.dropPending()
    lane.heldBytes -= heldBytes
    heldBytes = 0
  }

  /// What it held does not count any more.
  private func letGo() {
    letGoOfReceived()
    lane.unsentBytes -= unsent.count
    unsent = UnsentBytes()
  }

  /// Ends the connection without a word, for a peer that does not listen.
  func abort(_ reason: String, level: Logger.Level = .notice) {
    if !isEnding { logger.log(level: level, "connection cut", metadata: ["reason": "\(reason)"]) }
    phase = .ending
    close()
  }

  func drain() {
    switch phase {
    case .ending: return
    case .awaitingHello, .greeting: fail(SchemaError(.draining, "the server is shutting down; connect again"))
    case .open, .draining:
      phase = .draining
      updateReading()
      for id in Array(subscriptions.keys) {
        endSubscription(id, SchemaError(.draining, "the server is shutting down; connect again and resume"))
      }
      for (id, read) in reads {
        read.cancel()
        letGo(of: read.filter)
        let reason = "the server is shutting down; connect again and read on from sequence \(read.next)"
        write(lane.encoder.error(id: id, SchemaError(.draining, reason)))
      }
      reads.removeAll()
      finishIfDone()
    }
  }

  /// Closes a connection that takes no more requests when everything under way is answered.
  func finishIfDone() {
    switch phase {
    case .draining:
      guard pendingAppends == 0, reads.isEmpty else { return }
      closeBy = .now() + TimeAmount(server.configuration.helloTimeout)
    case .open:
      guard isInputClosed, pendingAppends == 0, jobs == 0, reads.isEmpty, handler?.holdsFrame != true else { return }
      // No credit can come any more.
      for (id, subscription) in subscriptions where subscription.hasNothingToPush { endSubscription(id, nil) }
      guard subscriptions.isEmpty else { return }
    case .awaitingHello, .greeting, .ending: return
    }
    phase = .ending
    closeOutput()
  }

  /// - Parameter isNew: the frame that is incomplete was begun with the last read.
  func frameIsIncomplete(_ isIncomplete: Bool, isNew: Bool) {
    if isNew || !isIncomplete { incompleteSince = nil }
    if isIncomplete, incompleteSince == nil { incompleteSince = .now() }
  }

  /// Counts what is left of received frames.
  func hold(_ pending: ByteBuffer) {
    let bytes = pending.readableBytes > 0 && !isEnding ? pending.storageCapacity : 0
    lane.heldBytes += bytes - heldBytes
    heldBytes = bytes
    lane.endOldestFrames()
  }

  /// Ends the connection since its peer finished no frame for longest, of all that have begun one.
  func endUnfinishedFrame() {
    let limit = server.configuration.receiveBytes
    fail(
      SchemaError(
        .timeout,
        "unfinished frames of all connections take more than \(limit) bytes (receive_bytes), and this one was begun first; "
          + "connect again and send frames as a whole"))
    letGoOfReceived()
  }

  func checkDeadlines(_ now: NIODeadline) {
    if isClosing { return }
    if let closeBy, now >= closeBy { return close() }
    if unsent.count > 0, isStalled(now) { return abort("the peer read nothing for \(server.configuration.writeTimeout)") }
    if case .ending = phase { return }
    if case .awaitingHello(let until) = phase, now >= until {
      fail(SchemaError(.timeout, "no hello came within \(server.configuration.helloTimeout)"))
      return letGoOfReceived()
    }
    if let incompleteSince, now >= incompleteSince + TimeAmount(server.configuration.frameTimeout) {
      fail(SchemaError(.timeout, "a frame was begun and not finished within \(server.configuration.frameTimeout)"))
      return letGoOfReceived()
    }
    for (id, subscription) in subscriptions {
      if let error = subscription.checkDeadlines(now) { endSubscription(id, error) }
    }
  }

  /// Whether the peer has taken nothing of what is written to it for longer than it may.
  private func isStalled(_ now: NIODeadline) -> Bool {
    lookAtUnsent(now)
    let timeout = server.configuration.writeTimeout
    if let since = unsent.stalledSince, now >= since + TimeAmount(timeout / 2), let bytes = PeerSocket.acknowledgedBytes(channel) {
      unsent.acknowledged(bytes, at: now)
    }
    guard let since = unsent.stalledSince else { return false }
    return now >= since + TimeAmount(timeout)
  }

  /// Since when the peer takes nothing of what is written to it.
  var stalledSince: NIODeadline? { isClosing ? nil : unsent.stalledSince }

  private func lookAtUnsent(_ now: NIODeadline) {
    let buffered = (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    lane.unsentBytes -= unsent.count
    unsent.looked(buffered: buffered, at: now)
    lane.unsentBytes += unsent.count
  }

  // MARK: - Requests

  func receive(_ bytes: UnsafeRawBufferPointer) {
    var id: UInt64?
    defer { lane.arena.reset() }
    do throws(SchemaError) {
      let frame = try ClientFrame(bytes, in: lane.arena, limits: limits, identified: &id)
      try handle(frame, in: bytes)
    } catch {
      if case .awaitingHello = phase { return fail(error, id: id) }
      if error.code.endsConnection { return fail(error, id: id) }
      write(lane.encoder.error(id: id, error))
    }
  }

  /// The one place where a request meets its connection's rights: for now everybody may do everything.
  private func handle(_ frame: ClientFrame, in bytes: UnsafeRawBufferPointer) throws(SchemaError) {
    if case .awaitingHello = phase {
      guard case .hello(let hello) = frame.request else {
        throw SchemaError(.helloExpected, "the first frame of a connection must be a hello")
      }
      return try greet(frame.id, hello)
    }
    if !(subscriptions.isEmpty && reads.isEmpty) { try checkFree(frame.id) }
    switch frame.request {
    case .hello: throw SchemaError(.invalidRequest, "this connection has said hello already")
    case .append(let request): try append(frame.id, request, in: bytes)
    case .read(let request): try read(frame.id, request)
    case .subscribe(let request): try subscribe(frame.id, request)
    case .unsubscribe(let subscription): unsubscribe(subscription)
    case .credit(let subscription, let bytes): try credit(subscription, bytes)
    case .checkpoint(let size): try checkpoint(frame.id, covering: size)
    case .proof(let request): try prove(frame.id, request)
    case .redact(let statement): try redact(frame.id, statement)
    case .health: write(lane.encoder.health(id: frame.id, server.health()))
    case .schema: write(lane.encoder.schema(id: frame.id, descriptorSet: Schema.descriptorSet, sha256: Schema.sha256))
    case .ping(let payload):
      let limit = server.configuration.pingBytes
      guard payload.count <= limit else {
        throw SchemaError(.limitExceeded, "the ping's payload has \(payload.count) bytes; \(limit) are allowed")
      }
      write(lane.encoder.pong(id: frame.id, payload: payload))
    }
  }

  private func greet(_ id: UInt64, _ hello: Hello) throws(SchemaError) {
    guard hello.version == Hello.version else {
      let told = hello.version.map { "\($0)" } ?? "none"
      throw SchemaError(.unsupportedVersion, "the client speaks protocol version \(told); this server speaks \(Hello.version)")
    }
    if let client = hello.client, client.utf8.count > RecordOrigin.maximumNameBytes {
      throw SchemaError(.invalidRequest, "the client's name has \(client.utf8.count) bytes; \(RecordOrigin.maximumNameBytes) are allowed")
    }
    if hello.hub == nil, hello.producer != nil {
      throw SchemaError(.invalidRequest, "the hello names a producer and no hub; a producer belongs to a hub")
    }
    if let next = hello.producerNext, !(1...Record.maximumSequence).contains(next) {
      throw SchemaError(.invalidRequest, "the producer's next number \(next) is out of range; numbers start at 1")
    }
    if let token = hello.sessionToken, token.count != 16 {
      throw SchemaError(.invalidRequest, "the hello's session_token has \(token.count) bytes; those of a welcome have 16")
    }
    wantsCheckpoints = hello.checkpoints
    if let client = hello.client { logger[metadataKey: "client"] = "\(client)" }
    guard let hub = hello.hub else { return welcome(id, nil) }
    logger[metadataKey: "hub"] = "\(hub)"
    let source = AppendSource(origin: try RecordOrigin(hub: hub, producer: hello.producer))
    self.source = source
    guard hello.producer != nil else { return welcome(id, nil) }
    phase = .greeting
    updateReading()
    let reference = NIOLoopBound(self, eventLoop: lane.loop)
    lane.log.sequencer.greet(source, declared: hello.producerNext, token: hello.sessionToken) { [loop = lane.loop] result in
      loop.execute {
        let session = reference.value
        guard case .greeting = session.phase else { return }
        switch result {
        case .success(let greeting): session.welcome(id, greeting)
        case .failure(let error): session.fail(error, id: id)
        }
        session.handler?.resume()
        session.lane.flush()
      }
    }
  }

  private func welcome(_ id: UInt64, _ greeting: ProducerGreeting?) {
    phase = .open
    numbers.begin(at: greeting?.next ?? 1)
    updateReading()
    logger.debug("connection open")
    var welcome = Welcome(
      server: server.configuration.software, logID: lane.log.store.start.logID, firstSequence: lane.log.store.start.firstSequence,
      nextSequence: lane.log.nextSequence, producerNext: greeting?.next, identity: "anonymous", limits: limits)
    welcome.sessionToken = greeting?.token
    welcome.isProducerForgotten = greeting?.isForgotten ?? false
    welcome.producerTakenAt = greeting?.takenAt
    write(lane.encoder.welcome(id: id, welcome))
  }

  // MARK: - Work away from the event loop

  /// Runs `work` on a reader thread and `then` on the loop. While more of it is under way than the connection may have reads and
  /// subscriptions, nothing more is read from the peer.
  ///
  /// - Parameters:
  ///   - asStep: its result is to be written: `then` gets `StepSkipped` when at its turn the peer has not taken enough for that.
  ///   - work: gets the bytes that a step may have.
  func runJob<Value: Sendable>(
    asStep: Bool = false, _ work: @escaping @Sendable (_ stepBytes: Int) throws -> Value,
    then: @escaping @Sendable (Session, Result<Value, any Error>) -> Void
  ) {
    jobs += 1
    updateReading()
    lane.jobs.add(of: serial) { [self] in
      // What a connection wanted that is ending is wanted no more.
      guard !isEnding, !asStep || canWrite() else {
        jobs -= 1
        then(self, .failure(StepSkipped()))
        updateReading()
        return false
      }
      let stepBytes = lane.stepBytes
      if asStep { stepsUnderWay += 1 }
      let reference = NIOLoopBound(self, eventLoop: lane.loop)
      lane.readers.runIfActive(eventLoop: lane.loop) { try work(stepBytes) }.whenComplete { result in
        let session = reference.value
        session.jobs -= 1
        if asStep { session.stepsUnderWay -= 1 }
        then(session, result)
        session.updateReading()
        session.finishIfDone()
        session.lane.jobs.ended()
        session.lane.flush()
      }
      return true
    }
  }

  /// Runs `work` again and again until it has a result. Other connections' work on the reader threads has its turns in between.
  ///
  /// - Parameter work: a bounded step.
  func runSteps<Value: Sendable>(
    _ work: @escaping @Sendable () throws -> Value?, then: @escaping @Sendable (Session, Result<Value, any Error>) -> Void
  ) {
    runJob { _ in
      try work()
    } then: { session, result in
      switch result {
      case .success(nil): session.runSteps(work, then: then)
      case .success(let value?): then(session, .success(value))
      case .failure(let error): then(session, .failure(error))
      }
    }
  }

  // MARK: - Writing

  /// Puts a frame to those that are written when the work at hand is done.
  func write(_ frame: [UInt8]) {
    guard !isEnding else { return }
    frames.writeBytes(frame)
    wroteFrame()
  }

  func write(_ frame: AppendedFrame) {
    frames.writeWithUnsafeMutableBytes(minimumWritableBytes: AppendedFrame.maximumBytes) { frame.write(to: $0.baseAddress!) }
    wroteFrame()
  }

  private func wroteFrame() {
    if frames.readableBytes > Self.heldFrameBytes {
      // The channel counts them, so that a peer that asks much and reads little is not heard for a while.
      putFrames()
      updateReading()
    }
    markDirty()
  }

  /// Writes a batch behind its frame's beginning; the batch's bytes may be shared with others.
  func write(prefix: [UInt8], _ batch: ByteBuffer) {
    guard !isEnding else { return }
    frames.writeBytes(prefix)
    // Small ones are cheaper copied than as buffers of their own.
    if batch.readableBytes < 1024 {
      frames.writeImmutableBuffer(batch)
    } else {
      putFrames()
      put(batch)
    }
    markDirty()
  }

  private func putFrames() {
    let held = frames
    frames = ByteBuffer()
    put(held)
  }

  private func put(_ buffer: ByteBuffer) {
    hasUnflushed = true
    unsent.wrote(buffer.readableBytes)
    lane.unsentBytes += buffer.readableBytes
    channel.write(buffer, promise: nil)
  }

  private func markDirty() {
    guard !isDirty else { return }
    isDirty = true
    lane.markDirty(self)
  }

  func flushFrames() {
    isDirty = false
    if frames.readableBytes > 0 { putFrames() }
    if hasUnflushed {
      hasUnflushed = false
      channel.flush()
    }
  }

  /// The channel says so in the middle of its own write or flush: what follows from it comes after.
  func writabilityChanged() {
    let reference = NIOLoopBound(self, eventLoop: lane.loop)
    lane.loop.execute {
      reference.value.proceed()
      reference.value.lane.flush()
    }
  }

  /// Goes on with what waited until the peer took something, or until there was room again.
  func proceed() {
    guard !isEnding else { return }
    updateReading()
    guard canWrite() else { return }
    pushAll()
    for read in reads.values { read.advance() }
  }

  /// A peer that does not take its answers, or has more appends under way than it may, is not read from.
  func updateReading() {
    var stop = !canWrite() || pendingBytes > Int(limits.pendingAppendBytes) || jobs > Int(limits.reads + limits.subscriptions)
    if numbers.isChecking { stop = true }
    switch phase {
    case .greeting, .draining: stop = true
    case .awaitingHello, .open, .ending: break
    }
    guard stop != isReadingStopped, !isEnding else { return }
    isReadingStopped = stop
    channel.setOption(.autoRead, value: !stop).whenFailure { [logger] error in
      logger.debug("reading could not be switched", metadata: ["reason": "\(error)"])
    }
    if !stop {
      let reference = NIOLoopBound(self, eventLoop: lane.loop)
      lane.loop.execute { reference.value.handler?.resume() }
    }
  }
}

extension SchemaError {
  /// What a client is told of a failure to read the log.
  init(storeError error: any Error) {
    switch error {
    case let error as SchemaError: self = error
    case let error as StoreError where error.code == .damaged: self.init(.dataDamaged, error.message)
    case let error as StoreError where error.code == .closed: self.init(.draining, error.message)
    default: self.init(.internal, "the log cannot be read: \(error)")
    }
  }
}
