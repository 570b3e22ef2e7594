import AuditLog
import AuditSchema
import AuditTLS
import Logging
import NIOCore
import Synchronization

/// One connection: who it is, what it has under way, and what is written to it. Confined to its shard's event loop.
///
/// `SessionState` decides what it may do next. Requests, appends, reads, evidence, work on reader threads and writing have a file each.
final class Session {
  let server: AuditServer
  let shard: EventLoopShard
  /// Copied from the server to avoid contended reference counting.
  let limits: WireLimits
  /// Unique on its shard.
  private(set) var serial: UInt64 = 0
  let channel: any Channel
  var state: SessionState
  /// Decides which numbered appends need a check first.
  var numbers = NumberedAppends()
  var lookUps = NumberLookUps()
  var source: AppendSource?
  var logger: Logger
  /// Holds the bytes that were received while the session was paused.
  weak var handler: SessionHandler?

  var pendingBytes = 0
  var pendingAppends = 0
  /// Number of requests that wait for a checkpoint.
  var checkpointWaits = 0
  var jobs = 0
  /// Jobs under way whose results will be written.
  var stepsUnderWay = 0
  /// When the unfinished frame was begun; `nil` if there is none.
  private(set) var incompleteSince: NIODeadline?
  /// Memory of received bytes that do not make a whole frame yet.
  private(set) var heldBytes = 0
  var unsent = UnsentBytes()

  /// Frames are collected until `flushFrames`, up to this many bytes.
  static let heldFrameBytes = 256 << 10
  /// Per-connection unsent limit while the shard is crowded.
  private static let crowdedBytes = 64 << 10
  var frames = ByteBuffer()
  var isDirty = false
  var hasUnflushed = false

  var access = SessionAccess()
  /// Whether the connection speaks TLS.
  let isSecure: Bool
  /// The user of the process at the other end of a Unix socket.
  private(set) var unixUID: UInt32?

  /// Whether the hello asked for checkpoints, and the one sent last.
  var wantsCheckpoints = false
  var toldCheckpoint: StoredCheckpoint?

  var subscriptions: [UInt64: Subscription] = [:]
  var reads: [UInt64: SessionRead] = [:]
  /// What is to be recorded about them when they end.
  var readings: [UInt64: AuditedReading] = [:]
  /// Memory of the filters of all subscriptions and reads.
  var filterBytes = 0
  /// What its frames have cost since the last read of the socket, or since its turn began: see `turnLimit`.
  var turnCost = 0
  /// Whether the rest of its frames waits for its next turn.
  private(set) var waitsForTurn = false

  /// What one read of a connection may cost before others have their turn, in bytes of appends. There are two reads in a turn of the loop. An
  /// append counts for `appendCost` at least, any other request and an error for `requestCost` more.
  static let turnLimit = 512 << 10
  static let appendCost = 128
  static let requestCost = 16 << 10

  init(server: AuditServer, shard: EventLoopShard, channel: any Channel, isSecure: Bool) {
    self.server = server
    self.shard = shard
    self.channel = channel
    limits = server.configuration.limits
    state = SessionState(helloUntil: .now() + TimeAmount(server.configuration.helloTimeout))
    logger = server.logger
    logger[metadataKey: "peer"] = "\(channel.remoteAddress?.description ?? "unix")"
    self.isSecure = isSecure
    if PeerSocket.isUnix(channel) { unixUID = PeerSocket.userID(channel) }
    access.isPrivate = isSecure || unixUID != nil || channel.remoteAddress?.isLoopback ?? false
  }

  // MARK: - Turns

  /// Leaves the rest of its frames for its next turn. Turns go round: each turn of the loop has one such connection's.
  func endTurn() {
    waitsForTurn = true
    updateReading()
    shard.awaitTurn(self)
  }

  func takeTurn() {
    waitsForTurn = false
    updateReading()
  }

  // MARK: - Life

  func opened() {
    serial = shard.add(self)
    let limit = server.configuration.connections
    let count = server.connections.opened()
    if server.isDraining { return fail(RequestError(.draining, "the server is shutting down; connect again")) }
    if count > limit, !shard.makeRoom() {
      fail(RequestError(.tooManyConnections, "\(limit) connections are open, which is the limit; try again later"))
      // Only a limited number gets the time to read that: a flood must not use up the process's file descriptors.
      if count > limit + AuditServer.refusedConnections { close() }
      return
    }
    shard.awaitHello(self)
  }

  /// Closes to make room for a new connection, if it has not said hello yet or is ending anyway.
  ///
  /// - Returns: false if it stays, or was closed already.
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
      // The release must come after the session's own appends.
      shard.submit()
      shard.log.sequencer.release(source)
    }
    server.connections.closed()
    endAllReadings()
    for subscription in subscriptions.values {
      subscription.end()
      letGo(of: subscription.filter)
      access.usage?.giveBack(.subscriptions)
      shard.unfollow(subscription)
    }
    server.subscriptions.subtract(subscriptions.count, ordering: .relaxed)
    subscriptions.removeAll()
    for read in reads.values {
      read.cancel()
      letGo(of: read.filter)
    }
    reads.removeAll()
    leave()
  }

  /// Whether received frames must wait.
  var isPaused: Bool { !state.takesFrames || numbers.isChecking }

  var isAwaitingHello: Bool { state.isAwaitingHello }

  /// Whether nothing more is answered.
  var isEnding: Bool { state.isEnding }

  /// Whether more may be written: the peer keeps up, or there is room for unsent bytes.
  func canWrite() -> Bool {
    guard !isEnding, channel.isWritable else { return false }
    guard shard.isCrowded else { return true }
    lookAtUnsent(.now())
    return !shard.isCrowded || unsent.count + stepsUnderWay * shard.stepBytes <= Self.crowdedBytes
  }

  /// Maximum bytes of the next frame.
  var frameLimit: Int {
    state.isAwaitingHello ? server.configuration.helloBytes : Int(limits.frameBytes)
  }

  /// Sends an error and ends the connection when it is written.
  ///
  /// - Parameter isNoted: whether its end is counted and logged already.
  func fail(_ error: RequestError, id: UInt64? = nil, isNoted: Bool = false) {
    guard !isEnding else { return }
    if !isNoted { note(.error(error.code), "connection ended", ["code": "\(error.code)", "reason": "\(error.message)"]) }
    write(shard.encoder.error(id: id, error))
    endOutput(isBounded: true)
  }

  /// - Returns: false when it was closed already.
  @discardableResult
  private func close() -> Bool {
    guard state.close() else { return false }
    letGo()
    // The TLS handler would wait for the peer's close_notify.
    if let handler { handler.cut() } else { channel.close(promise: nil) }
    return true
  }

  /// Closes the sending side when everything is written.
  ///
  /// - Parameter isBounded: the peer gets `helloTimeout` to read the rest; then the connection is closed, whether or not the peer closes its
  ///   side.
  private func endOutput(isBounded: Bool) {
    guard state.end(closeBy: isBounded ? .now() + TimeAmount(server.configuration.helloTimeout) : nil) else { return }
    closeOutput()
  }

  /// The TLS handshake has failed: nothing can be written any more. The peer gets `helloTimeout` to read the alert.
  func endHandshake() { _ = state.end(closeBy: .now() + TimeAmount(server.configuration.helloTimeout)) }

  /// Closes the sending side after everything is written. If the peer has closed its side, this closes the connection.
  private func closeOutput() {
    flushFrames()
    guard state.isInputClosed else { return channel.close(mode: .output, promise: nil) }
    // Closing the second half closes the channel at once and would lose unwritten bytes, so it waits for the write.
    let written = channel.eventLoop.makePromise(of: Void.self)
    written.futureResult.whenComplete { [channel] _ in channel.close(promise: nil) }
    channel.writeAndFlush(ByteBuffer(), promise: written)
  }

  /// The peer has shut down its sending side. Its requests are answered, then the connection closes.
  func inputClosed() {
    if state.isAwaitingHello { return _ = close() }
    state.inputClosed()
    finishIfDone()
  }

  /// Frees received bytes that will not be processed.
  private func letGoOfReceived() {
    handler?.dropPending()
    shard.held.giveBack(heldBytes)
    heldBytes = 0
  }

  /// Returns everything that it holds to the shard's budgets.
  private func letGo() {
    letGoOfReceived()
    shard.unsent.giveBack(unsent.count)
    unsent = UnsentBytes()
  }

  /// Closes the connection without an error frame, for a peer that does not read.
  func abort(_ end: PeerEnd, _ reason: String, level: Logger.Level = .notice) {
    if !isEnding { note(end, "connection cut", level: level, ["reason": "\(reason)"]) }
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
        end(read, id, outcome: "DRAINING")
        let reason = "the server is shutting down; connect again and read on from sequence \(read.next)"
        write(shard.encoder.error(id: id, RequestError(.draining, reason)))
      }
      reads.removeAll()
      finishIfDone()
    default: break
    }
  }

  /// Ends a connection that takes no more requests, once everything under way is answered.
  func finishIfDone() {
    switch state.finish(appends: pendingAppends, reads: reads.count, jobs: jobs) {
    case .closeOutput: endOutput(isBounded: true)
    case .closeOutputWithoutSubscriptions:
      guard handler?.holdsFrame != true else { return }
      // The peer can give no more credit.
      for (id, subscription) in subscriptions where subscription.hasNothingToPush { endSubscription(id, nil) }
      if subscriptions.isEmpty { endOutput(isBounded: false) }
    default: break
    }
  }

  /// - Parameter isNew: whether the last read began the incomplete frame.
  func frameIsIncomplete(_ isIncomplete: Bool, isNew: Bool) {
    if isNew || !isIncomplete { incompleteSince = nil }
    if isIncomplete, incompleteSince == nil { incompleteSince = .now() }
  }

  /// Counts the bytes that are left of the last read.
  func hold(_ pending: ByteBuffer) {
    let bytes = pending.readableBytes > 0 && !isEnding ? pending.storageCapacity : 0
    shard.held.replace(heldBytes, with: bytes)
    heldBytes = bytes
    shard.endOldestFrames()
  }

  /// Ends the connection because received bytes of all together exceed `receiveBytes`, and its unfinished frame is the oldest, or it holds most
  /// of what waits for a turn.
  func endUnfinishedFrame() {
    let limit = server.configuration.receiveBytes
    fail(
      RequestError(
        .timeout,
        waitsForTurn
          ? "frames of all connections that wait take more than \(limit) bytes (receive_bytes), and this connection holds most of them; "
            + "connect again and wait for answers before sending more"
          : "unfinished frames of all connections take more than \(limit) bytes (receive_bytes), and this one was begun first; "
            + "connect again and send frames as a whole"))
    letGoOfReceived()
  }

  func checkDeadlines(_ now: NIODeadline) {
    if state.isClosed { return }
    let step = state.deadline(now)
    if step == .close { return _ = close() }
    if unsent.count > 0, isStalled(now) { return abort(.unread, "the peer read nothing for \(server.configuration.writeTimeout)") }
    if isEnding { return }
    checkExpiry()
    if isEnding { return }
    recordLongReadings(now)
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

  /// Whether the peer has read nothing for `writeTimeout`.
  private func isStalled(_ now: NIODeadline) -> Bool {
    lookAtUnsent(now)
    let timeout = server.configuration.writeTimeout
    if let since = unsent.stalledSince, now >= since + TimeAmount(timeout / 2), let bytes = PeerSocket.acknowledgedBytes(channel) {
      unsent.acknowledged(bytes, at: now)
    }
    guard let since = unsent.stalledSince else { return false }
    return now >= since + TimeAmount(timeout)
  }

  /// Since when the peer reads nothing; `nil` while it keeps up.
  var stalledSince: NIODeadline? { state.isClosed ? nil : unsent.stalledSince }

  func lookAtUnsent(_ now: NIODeadline) {
    let buffered = (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    let before = unsent.count
    unsent.looked(buffered: buffered, at: now)
    shard.unsent.replace(before, with: unsent.count)
  }
}
