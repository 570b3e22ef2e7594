import AuditLog
import AuditSchema
import Logging
import NIOCore

/// One connection: who it is, what it has under way, and what is written to it. Lives on its shard's event loop.
///
/// What every append touches is not checked for overlapping accesses: the checks cost the server a tenth of its time. No access to it
/// calls anything that could come back here.
final class Session {
  let server: AuditServer
  let shard: EventLoopShard
  /// The server's, at hand: all loops' connections share the server, and to take hold of it for each append would make them wait for each other.
  let limits: WireLimits
  /// What the shard knows it by.
  private(set) var serial: UInt64 = 0
  let channel: any Channel
  @exclusivity(unchecked) var state: SessionState
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
  var jobs = 0
  /// Steps whose results will be written.
  var stepsUnderWay = 0
  /// Since when a frame is begun and not finished.
  @exclusivity(unchecked) private(set) var incompleteSince: NIODeadline?
  /// Memory of what was received and is no whole frame yet.
  private var heldBytes = 0
  @exclusivity(unchecked) var unsent = UnsentBytes()

  /// Frames are held until the work at hand is done, up to this many bytes.
  static let heldFrameBytes = 256 << 10
  /// What a peer may leave untaken when all peers together have left too much.
  private static let crowdedBytes = 64 << 10
  @exclusivity(unchecked) var frames = ByteBuffer()
  @exclusivity(unchecked) var isDirty = false
  @exclusivity(unchecked) var hasUnflushed = false

  /// Whether the hello asked for checkpoints, and the size of the one told last.
  @exclusivity(unchecked) var wantsCheckpoints = false
  var toldCheckpoint: StoredCheckpoint?

  var subscriptions: [UInt64: Subscription] = [:]
  var reads: [UInt64: SessionRead] = [:]
  /// Memory of the filters of all of them.
  var filterBytes = 0

  init(server: AuditServer, shard: EventLoopShard, channel: any Channel) {
    self.server = server
    self.shard = shard
    self.channel = channel
    limits = server.configuration.limits
    state = SessionState(helloUntil: .now() + TimeAmount(server.configuration.helloTimeout))
    logger = server.logger
    logger[metadataKey: "peer"] = "\(channel.remoteAddress?.description ?? "unix")"
  }

  // MARK: - Life

  func opened() {
    serial = shard.add(self)
    let limit = server.configuration.connections
    let count = server.connections.opened()
    if server.isDraining { return fail(RequestError(.draining, "the server is shutting down; connect again")) }
    if count > limit, !shard.makeRoom() {
      fail(RequestError(.tooManyConnections, "\(limit) connections are open, which is the limit; try again later"))
      // Only so many get the time to read that; a flood of them must not use up the process's files.
      if count > limit + AuditServer.refusedConnections { channel.close(promise: nil) }
      return
    }
    shard.awaitHello(self)
  }

  /// Gives its place to a new connection, if it has not said hello yet or is about to close anyway.
  ///
  /// - Returns: false when it keeps its place or has none.
  func giveWay() -> Bool {
    guard state.isAwaitingHello || state.isEnding else { return false }
    fail(
      RequestError(
        .tooManyConnections,
        "\(server.configuration.connections) connections are open, which is the limit, and this one went without a hello longest; "
          + "connect again and say hello at once"))
    return close()
  }

  func closed() {
    _ = state.close()
    letGo()
    shard.remove(self)
    if let source, source.origin.producer != nil {
      // Behind what it has appended.
      shard.submit()
      shard.log.sequencer.release(source)
    }
    server.connections.closed()
    for subscription in subscriptions.values {
      subscription.end()
      letGo(of: subscription.filter)
      shard.unfollow(subscription)
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
  var isPaused: Bool { !state.takesFrames || numbers.isChecking }

  var isAwaitingHello: Bool { state.isAwaitingHello }

  /// Whether nothing more is answered.
  var isEnding: Bool { state.isEnding }

  /// Whether the peer may be written more: it takes what it is given, or there is room for what it does not take.
  func canWrite() -> Bool {
    guard !isEnding, channel.isWritable else { return false }
    guard shard.isCrowded else { return true }
    lookAtUnsent(.now())
    return !shard.isCrowded || unsent.count + stepsUnderWay * shard.stepBytes <= Self.crowdedBytes
  }

  /// Bytes that the next frame may have.
  var frameLimit: Int {
    state.isAwaitingHello ? server.configuration.helloBytes : Int(limits.frameBytes)
  }

  /// Says what is wrong and ends the connection when that is written.
  func fail(_ error: RequestError, id: UInt64? = nil) {
    guard !isEnding else { return }
    logger.notice("connection ended", metadata: ["code": "\(error.code)", "reason": "\(error.message)"])
    write(shard.encoder.error(id: id, error))
    endOutput(isBounded: true)
  }

  /// - Returns: false when it was closed already.
  @discardableResult
  private func close() -> Bool {
    guard state.close() else { return false }
    letGo()
    channel.close(promise: nil)
    return true
  }

  /// Closes the sending side when everything is written.
  ///
  /// - Parameter isBounded: the peer gets its time to read that; then the connection goes, whether it closes its side or not.
  private func endOutput(isBounded: Bool) {
    guard state.end(closeBy: isBounded ? .now() + TimeAmount(server.configuration.helloTimeout) : nil) else { return }
    closeOutput()
  }

  /// Closes the sending side when everything is written, and with it the connection where the peer has closed the other side.
  private func closeOutput() {
    flushFrames()
    guard state.isInputClosed else { return channel.close(mode: .output, promise: nil) }
    // Closing the second side closes at once, and what is not written would be lost.
    let written = channel.eventLoop.makePromise(of: Void.self)
    written.futureResult.whenComplete { [channel] _ in channel.close(promise: nil) }
    channel.writeAndFlush(ByteBuffer(), promise: written)
  }

  /// The peer sends nothing more. What it asked for is answered, then the connection closes.
  func inputClosed() {
    if state.isAwaitingHello { return _ = close() }
    state.inputClosed()
    finishIfDone()
  }

  /// Lets go of received bytes that will not be looked at.
  private func letGoOfReceived() {
    handler?.dropPending()
    shard.held.giveBack(heldBytes)
    heldBytes = 0
  }

  /// What it held does not count any more.
  private func letGo() {
    letGoOfReceived()
    shard.unsent.giveBack(unsent.count)
    unsent = UnsentBytes()
  }

  /// Ends the connection without a word, for a peer that does not listen.
  func abort(_ reason: String, level: Logger.Level = .notice) {
    if !isEnding { logger.log(level: level, "connection cut", metadata: ["reason": "\(reason)"]) }
    close()
  }

  func drain() {
    switch state.drain() {
    case .fail: fail(RequestError(.draining, "the server is shutting down; connect again"))
    case .endWork:
      updateReading()
      for id in Array(subscriptions.keys) {
        endSubscription(id, RequestError(.draining, "the server is shutting down; connect again and resume"))
      }
      for (id, read) in reads {
        read.cancel()
        letGo(of: read.filter)
        let reason = "the server is shutting down; connect again and read on from sequence \(read.next)"
        write(shard.encoder.error(id: id, RequestError(.draining, reason)))
      }
      reads.removeAll()
      finishIfDone()
    default: break
    }
  }

  /// Closes a connection that takes no more requests when everything under way is answered.
  func finishIfDone() {
    switch state.finish(appends: pendingAppends, reads: reads.count, jobs: jobs) {
    case .closeOutput: endOutput(isBounded: true)
    case .closeOutputWithoutSubscriptions:
      guard handler?.holdsFrame != true else { return }
      // No credit can come any more.
      for (id, subscription) in subscriptions where subscription.hasNothingToPush { endSubscription(id, nil) }
      if subscriptions.isEmpty { endOutput(isBounded: false) }
    default: break
    }
  }

  /// - Parameter isNew: the frame that is incomplete was begun with the last read.
  func frameIsIncomplete(_ isIncomplete: Bool, isNew: Bool) {
    if isNew || !isIncomplete { incompleteSince = nil }
    if isIncomplete, incompleteSince == nil { incompleteSince = .now() }
  }

  /// Counts what is left of received frames.
  func hold(_ pending: ByteBuffer) {
    let bytes = pending.readableBytes > 0 && !isEnding ? pending.storageCapacity : 0
    shard.held.replace(heldBytes, with: bytes)
    heldBytes = bytes
    shard.endOldestFrames()
  }

  /// Ends the connection since its peer finished no frame for longest, of all that have begun one.
  func endUnfinishedFrame() {
    let limit = server.configuration.receiveBytes
    fail(
      RequestError(
        .timeout,
        "unfinished frames of all connections take more than \(limit) bytes (receive_bytes), and this one was begun first; "
          + "connect again and send frames as a whole"))
    letGoOfReceived()
  }

  func checkDeadlines(_ now: NIODeadline) {
    if state.isClosed { return }
    let step = state.deadline(now)
    if step == .close { return _ = close() }
    if unsent.count > 0, isStalled(now) { return abort("the peer read nothing for \(server.configuration.writeTimeout)") }
    if isEnding { return }
    if step == .fail {
      fail(RequestError(.timeout, "no hello came within \(server.configuration.helloTimeout)"))
      return letGoOfReceived()
    }
    if let incompleteSince, now >= incompleteSince + TimeAmount(server.configuration.frameTimeout) {
      fail(RequestError(.timeout, "a frame was begun and not finished within \(server.configuration.frameTimeout)"))
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
  var stalledSince: NIODeadline? { state.isClosed ? nil : unsent.stalledSince }

  func lookAtUnsent(_ now: NIODeadline) {
    let buffered = (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    let before = unsent.count
    unsent.looked(buffered: buffered, at: now)
    shard.unsent.replace(before, with: unsent.count)
  }
}
