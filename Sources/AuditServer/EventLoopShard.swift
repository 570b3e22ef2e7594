import AuditLog
import AuditSchema
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// One event loop's share of the server: its sessions, the memory that they decode into, and the batch that collects their appends.
///
/// `@unchecked Sendable`: everything except the inbox and `subscriptions` is confined to the loop.
final class EventLoopShard: CommitObserver, @unchecked Sendable {
  /// A batch is submitted after the loop has read from all its sockets, or earlier when it reaches this many bytes.
  private static let batchBytes = 1 << 20
  private static let keptBatches = 4
  /// Limit on the bytes of frames that wait for a check of their old numbers.
  static let checkedBytes = 16 << 20
  private static let sharedPieces = 8
  /// How long a peer may read nothing while the unsent bytes of all peers exceed their budget.
  private static let crowdedPatience = TimeAmount.seconds(1)

  let loop: any EventLoop
  let log: AuditLog
  let configuration: ServerConfiguration
  let logger: Logger
  let readers: NIOThreadPool
  let arena: DecodeArena
  let translator: EventTranslator
  let encoder = ServerFrameEncoder()
  let counters = ShardCounters()
  let allocator = ByteBufferAllocator()

  private var sessions: [UInt64: Session] = [:]
  private var lastSerial: UInt64 = 0
  /// Serials in the order of connecting. A session that has said hello is removed when it reaches the head.
  private var awaitingHello = CircularBuffer<UInt64>()
  /// Memory of received bytes that do not make a whole frame yet.
  var held: ByteBudget
  /// Upper bound on unsent bytes. A session's part is exact at the time of its last poll.
  var unsent: ByteBudget
  private var wasCrowded = false
  /// Bytes of frames that wait for a check of their old numbers.
  var checked: ByteBudget
  let jobs: ReaderJobs
  /// Cost of the appends that wait for a look-up of their first sequences.
  var lookUps: ByteBudget
  /// TLS handshakes under way.
  var handshakes = 0
  private var dirty: [Session] = []
  private var open: AppendBatch?
  private var isSubmissionDue = false
  private var spare: [AppendBatch] = []
  private var shared: [SharedPiece] = []
  let filters: SharedFilters
  /// All subscriptions of this loop; `pushes` has those whose turn comes.
  private var following: [Subscription] = []
  private var pushes = PushQueue<Subscription>()
  private var isPushDue = false
  /// Whether a slice of pushing waits for the next turn of the loop.
  private var isSliceAsked = false
  private var turn: LoopTurn?
  /// Connections that have more frames than one turn may cost, in the order of their turns.
  private var waiting = CircularBuffer<Session>()

  private struct Inbox {
    var batches: [AppendBatch] = []
    var isWoken = false
  }
  private let inbox = Mutex(Inbox())
  /// Number of subscriptions on this loop. If it is zero, other loops' commits don't wake this loop.
  let subscriptions = Atomic<Int>(0)

  init(loop: any EventLoop, log: AuditLog, configuration: ServerConfiguration, logger: Logger, readers: NIOThreadPool) {
    self.loop = loop
    self.log = log
    self.configuration = configuration
    self.logger = logger
    self.readers = readers
    jobs = ReaderJobs(limit: 2 * configuration.readThreads)
    filters = SharedFilters(limitBytes: configuration.allFilterBytes / configuration.eventLoops)
    lookUps = ByteBudget(limit: log.configuration.queueBytes / configuration.eventLoops)
    held = ByteBudget(limit: configuration.receiveBytes / configuration.eventLoops)
    unsent = ByteBudget(limit: configuration.sendBytes / configuration.eventLoops)
    checked = ByteBudget(limit: Self.checkedBytes)
    arena = DecodeArena(limitBytes: log.configuration.decodeBytes)
    translator = EventTranslator(arena: arena, now: log.now)
  }

  /// Starts the timer that checks deadlines.
  ///
  /// - Throws: when the process may open no more files.
  func start(server: AuditServer) async throws {
    try await LoopTurn.open(on: loop) { [self] in
      // Runs after the reads of this turn of the loop.
      loop.execute { [self] in
        if isSliceAsked {
          (isSliceAsked, isPushDue) = (false, false)
          pushSlice()
        }
        beginTurn()
      }
    }.map { [self] in turn = $0.value }.get()
    // The task ends with the loop, so it may hold the shard. A weak reference would make every retain of the shard slower.
    loop.scheduleRepeatedTask(initialDelay: .milliseconds(100), delay: .milliseconds(100)) { [self] _ in
      let now = NIODeadline.now()
      for session in Array(sessions.values) { session.checkDeadlines(now) }
      while let first = awaitingHello.first, sessions[first]?.isAwaitingHello != true { awaitingHello.removeFirst() }
      relieve(now)
      lookAtLag()
      flush()
    }
  }

  /// - Returns: the session's serial: unique on this shard.
  func add(_ session: Session) -> UInt64 {
    loop.assertInEventLoop()
    lastSerial += 1
    sessions[lastSerial] = session
    return lastSerial
  }

  func remove(_ session: Session) {
    loop.assertInEventLoop()
    sessions[session.serial] = nil
  }

  // MARK: - Limits of all sessions together

  func awaitHello(_ session: Session) { awaitingHello.append(session.serial) }

  /// Closes the connection that has waited longest without a hello.
  ///
  /// - Returns: false when all have said hello.
  func makeRoom() -> Bool {
    while let first = awaitingHello.popFirst() {
      if let session = sessions[first], session.giveWay() { return true }
    }
    return false
  }

  /// How many TLS handshakes this loop has under way at most: each takes half a millisecond of the loop, and memory.
  static let maximumHandshakes = 256

  /// A connection begins its TLS handshake. Beyond the limit, the connection that has waited longest without a hello makes room.
  func handshakeBegan() {
    handshakes += 1
    if handshakes > Self.maximumHandshakes { _ = makeRoom() }
  }

  /// The access file, or the roots that clients' certificates are verified with, have changed.
  func judgeAgain(isRootRemoved: Bool) -> EventLoopFuture<Void> {
    loop.submit { [self] in
      submit()
      for session in Array(sessions.values) { session.judgeAgain(isRootRemoved: isRootRemoved) }
      flush()
    }
  }

  /// Ends connections until the rest is within the budget: first those that have sent more than their turns allow, the one that holds most
  /// first; then the one with the oldest unfinished frame.
  func endOldestFrames() {
    while held.isExceeded {
      let flooding = sessions.values.filter { $0.waitsForTurn && $0.heldBytes > 0 && !$0.isEnding }
      if let largest = flooding.max(by: { $0.heldBytes < $1.heldBytes }) {
        largest.endUnfinishedFrame()
        continue
      }
      let unfinished = sessions.values.filter { $0.incompleteSince != nil && !$0.isEnding }
      guard let oldest = unfinished.min(by: { $0.incompleteSince! < $1.incompleteSince! }) else { return }
      oldest.endUnfinishedFrame()
    }
  }

  /// The unsent bytes of all peers exceed their budget: each peer gets only little ahead of what it reads.
  var isCrowded: Bool { unsent.isExceeded }

  /// Bytes that one step of a read or a subscription sends. One record may be larger.
  var stepBytes: Int { isCrowded ? 16 << 10 : 256 << 10 }

  /// While crowded: cuts peers that read nothing for `crowdedPatience`, the longest stalled first.
  private func relieve(_ now: NIODeadline) {
    if isCrowded {
      wasCrowded = true
      let stalled = sessions.values.filter { session in session.stalledSince.map { now >= $0 + Self.crowdedPatience } ?? false }
      for session in stalled.sorted(by: { $0.stalledSince! < $1.stalledSince! }) where isCrowded {
        session.abort(
          .crowded,
          "the peer read nothing for 1 s, and more than \(configuration.sendBytes) bytes (send_bytes) wait for all peers")
      }
    }
    guard wasCrowded else { return }
    wasCrowded = isCrowded
    for session in Array(sessions.values) { session.proceed() }
  }

  // MARK: - Appends

  /// The batch that collects the appends of this turn of the loop.
  func openBatch() -> AppendBatch {
    loop.assertInEventLoop()
    if let open { return open }
    let batch = spare.popLast() ?? AppendBatch(owner: self)
    batch.owner = self
    open = batch
    if !isSubmissionDue {
      isSubmissionDue = true
      // Runs after the reads of this turn of the loop.
      loop.execute { [self] in
        isSubmissionDue = false
        submit()
      }
    }
    return batch
  }

  /// - Parameter cost: of the open batch, in bytes.
  func batchGrew(to cost: Int) {
    if cost >= Self.batchBytes { submit() }
  }

  func submit() {
    loop.assertInEventLoop()
    guard let batch = open else { return }
    open = nil
    guard !batch.requests.isEmpty else { return recycle(batch) }
    if let refusal = log.sequencer.submit(batch) {
      forEachSender(of: batch) { session, request in session.refused(request, refusal) }
      recycle(batch)
      flush()
    }
  }

  /// Calls `tell` for each request, and ends each run of one session's requests with `appendsAnswered`.
  private func forEachSender(of batch: AppendBatch, _ tell: (Session, UnsafePointer<AppendBatch.Request>) -> Void) {
    batch.withRequests { requests in
      var index = 0
      while index < requests.count {
        let sender = requests[index].sender
        // `nil`: the connection has closed meanwhile.
        let session = sessions[batch.senders[sender].token]
        while index < requests.count, requests[index].sender == sender {
          if let session { tell(session, requests.baseAddress! + index) }
          index += 1
        }
        session?.appendsAnswered()
      }
    }
  }

  private func recycle(_ batch: AppendBatch) {
    batch.owner = nil
    guard spare.count < Self.keptBatches else { return }
    batch.removeAll()
    spare.append(batch)
  }

  /// On a thread that stores: puts the batches into the inbox and wakes the loop, once until it has emptied the inbox.
  func committed(_ batches: [AppendBatch], next: UInt64) {
    guard !batches.isEmpty || subscriptions.load(ordering: .relaxed) > 0 else { return }
    let wake = inbox.withLock { inbox in
      inbox.batches += batches
      defer { inbox.isWoken = true }
      return !inbox.isWoken
    }
    if wake { loop.execute { [self] in commitsArrived() } }
  }

  private func commitsArrived() {
    if answerCommits(), !isPushDue { pushSlice() }
  }

  /// Answers the appends in the inbox, then queues the subscriptions that wait at the tail.
  ///
  /// - Returns: whether this shard has subscriptions.
  private func answerCommits() -> Bool {
    let batches = inbox.withLock { inbox in
      inbox.isWoken = false
      defer { inbox.batches = [] }
      return inbox.batches
    }
    for batch in batches {
      forEachSender(of: batch) { session, request in session.completed(request, of: batch) }
      recycle(batch)
    }
    // Answers before pushes: whoever appends waits for its answer only.
    flush()
    for subscription in following where subscription.isReady { queue(subscription) }
    return !following.isEmpty
  }

  // MARK: - Pushing

  private func lookAtLag() {
    let end = log.nextSequence
    var lagging = 0
    var largest: UInt64 = 0
    for subscription in following {
      guard let lag = subscription.lag(behind: end), lag > 0 else { continue }
      lagging += 1
      largest = max(largest, lag)
    }
    counters.looked(lagging: lagging, largest: largest)
  }

  func follow(_ subscription: Subscription) {
    loop.assertInEventLoop()
    subscription.place = following.count
    following.append(subscription)
    subscriptions.add(1, ordering: .relaxed)
  }

  func unfollow(_ subscription: Subscription) {
    loop.assertInEventLoop()
    let last = following.removeLast()
    if last !== subscription {
      following[subscription.place] = last
      last.place = subscription.place
    }
    subscriptions.subtract(1, ordering: .relaxed)
  }

  /// Queues a subscription for a push.
  func push(to subscription: Subscription) {
    loop.assertInEventLoop()
    queue(subscription)
    guard !isPushDue else { return }
    isPushDue = true
    loop.execute { [self] in
      isPushDue = false
      pushSlice()
    }
  }

  /// Queues a connection that has used up its turn.
  func awaitTurn(_ session: Session) {
    loop.assertInEventLoop()
    waiting.append(session)
    turn?.ask()
  }

  /// Gives the next connection its turn, and the loop's next turn to the one behind it.
  private func beginTurn() {
    while let session = waiting.popFirst() {
      guard !session.isEnding else { continue }
      session.takeTurn()
      break
    }
    if !waiting.isEmpty { turn?.ask() }
  }

  private func queue(_ subscription: Subscription) {
    guard !subscription.isQueued else { return }
    subscription.isQueued = true
    pushes.add(subscription)
  }

  /// Pushes until the slice's budget is spent. The rest follows after the loop has polled its sockets, and after the appends and answers
  /// that this brings: these wait for one slice of pushing, never for two.
  private func pushSlice() {
    submit()
    if inbox.withLock({ $0.isWoken }) { _ = answerCommits() }
    var budget = PushBudget()
    while let subscription = pushes.next(&budget) {
      subscription.isQueued = false
      if subscription.push(&budget) { queue(subscription) } else { subscription.pushed() }
    }
    flush()
    if pushes.isEmpty { return filters.forgetMatches() }
    guard !isPushDue, let turn else { return }
    (isSliceAsked, isPushDue) = (true, true)
    turn.ask()
  }

  // MARK: - Writing

  /// Notes that a session has frames to write; `flush` writes them.
  func markDirty(_ session: Session) {
    loop.assertInEventLoop()
    dirty.append(session)
  }

  func flush() {
    loop.assertInEventLoop()
    while !dirty.isEmpty {
      let sessions = dirty
      dirty.removeAll(keepingCapacity: true)
      for session in sessions { session.flushFrames() }
    }
  }

  /// Records of a commit in a NIO buffer: copied once for all subscriptions of this loop at the same position. A slow peer holds on to the
  /// pieces that it has not read, never to the whole commit.
  private struct SharedPiece {
    let sequences: Range<UInt64>
    let buffer: ByteBuffer
  }

  func buffer(of sequences: Range<UInt64>, in commit: CommitBytes, _ range: Range<Int>) -> ByteBuffer {
    piece(sequences, byteCount: range.count) { $0.writeBytes(UnsafeRawBufferPointer(rebasing: commit.bytes[range])) }
  }

  /// The records of consecutive commits, those of the first from offset `start` on.
  func buffer(of sequences: Range<UInt64>, in commits: ArraySlice<CommitBytes>, from start: Int, byteCount: Int) -> ByteBuffer {
    piece(sequences, byteCount: byteCount) { buffer in
      var start = start
      for commit in commits {
        buffer.writeBytes(UnsafeRawBufferPointer(rebasing: commit.bytes[start...]))
        start = 0
      }
    }
  }

  private func piece(_ sequences: Range<UInt64>, byteCount: Int, _ fill: (inout ByteBuffer) -> Void) -> ByteBuffer {
    if let found = shared.last(where: { $0.sequences == sequences }) { return found.buffer }
    var buffer = allocator.buffer(capacity: byteCount)
    fill(&buffer)
    if shared.count >= Self.sharedPieces { shared.removeFirst() }
    shared.append(SharedPiece(sequences: sequences, buffer: buffer))
    return buffer
  }

  // MARK: - Shutdown

  /// Tells every session that the server shuts down. Each closes when its appends are answered.
  func drain() {
    loop.execute { [self] in
      submit()
      for session in Array(sessions.values) { session.drain() }
      flush()
    }
  }

  func closeAll() -> EventLoopFuture<Void> {
    loop.submit { [self] in
      for session in Array(sessions.values) { session.abort(.drained, "cut off at the end of the drain timeout") }
    }
  }
}
