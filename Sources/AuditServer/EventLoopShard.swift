import AuditLog
import AuditSchema
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// One event loop's share of the server: its sessions, the memory they decode into, and the batch that their appends go to.
///
/// Everything but the inbox is touched on the loop only: hence `@unchecked Sendable`.
final class EventLoopShard: CommitObserver, @unchecked Sendable {
  /// A batch is submitted when the loop has gone round, or before when it has this many bytes.
  private static let batchBytes = 1 << 20
  private static let keptBatches = 4
  /// Bytes of frames that are kept while their old numbers are looked for.
  static let checkedBytes = 16 << 20
  private static let sharedPieces = 8
  /// How long a peer may take nothing while there is no room.
  private static let crowdedPatience = TimeAmount.seconds(1)

  let loop: any EventLoop
  let log: AuditLog
  let configuration: ServerConfiguration
  let logger: Logger
  let readers: NIOThreadPool
  let arena: DecodeArena
  let translator: EventTranslator
  let encoder = ServerFrameEncoder()
  let allocator = ByteBufferAllocator()

  private var sessions: [UInt64: Session] = [:]
  private var lastSerial: UInt64 = 0
  /// In the order in which they connected; those that have said hello meanwhile leave when they come first.
  private var awaitingHello = CircularBuffer<UInt64>()
  /// Memory of received bytes that are no whole frames yet.
  @exclusivity(unchecked) var held: ByteBudget
  /// Upper bound on bytes that were written and not taken; exact for a session when it is looked at.
  @exclusivity(unchecked) var unsent: ByteBudget
  private var wasCrowded = false
  /// Bytes of appends that wait until their old numbers have been looked for.
  @exclusivity(unchecked) var checked: ByteBudget
  let jobs: ReaderJobs
  /// Cost of the appends that wait to be looked up.
  var lookUps: ByteBudget
  @exclusivity(unchecked) private var dirty: [Session] = []
  @exclusivity(unchecked) private var open: AppendBatch?
  @exclusivity(unchecked) private var isSubmissionDue = false
  private var spare: [AppendBatch] = []
  private var shared: [SharedPiece] = []
  let filters: SharedFilters
  /// All subscriptions of this loop, and those that are to be pushed records.
  private var following: [Subscription] = []
  private var pushes = PushQueue<Subscription>()
  private var isPushDue = false
  private var turn: LoopTurn?

  private struct Inbox {
    var batches: [AppendBatch] = []
    var isWoken = false
  }
  private let inbox = Mutex(Inbox())
  /// Number of subscriptions on this loop: none, and a commit of others wakes nobody.
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

  /// Begins to look after deadlines.
  ///
  /// - Throws: when the process may open no more files.
  func start(server: AuditServer) async throws {
    try await LoopTurn.open(on: loop) { [self] in
      // Runs after the reads of this turn of the loop.
      loop.execute { [self] in
        isPushDue = false
        pushSlice()
      }
    }.map { [self] in turn = $0.value }.get()
    // It ends with the loop. A weak reference would make each retain of the shard several times as dear.
    loop.scheduleRepeatedTask(initialDelay: .milliseconds(100), delay: .milliseconds(100)) { [self] _ in
      let now = NIODeadline.now()
      for session in Array(sessions.values) { session.checkDeadlines(now) }
      while let first = awaitingHello.first, sessions[first]?.isAwaitingHello != true { awaitingHello.removeFirst() }
      relieve(now)
      flush()
    }
  }

  /// - Returns: the number under which the shard knows the session, which no other gets.
  func add(_ session: Session) -> UInt64 {
    lastSerial += 1
    sessions[lastSerial] = session
    return lastSerial
  }

  func remove(_ session: Session) { sessions[session.serial] = nil }

  // MARK: - Limits of all sessions together

  func awaitHello(_ session: Session) { awaitingHello.append(session.serial) }

  /// Closes the connection that has gone without a hello longest.
  ///
  /// - Returns: false when all have said hello.
  func makeRoom() -> Bool {
    while let first = awaitingHello.popFirst() {
      if let session = sessions[first], session.giveWay() { return true }
    }
    return false
  }

  /// Ends the frames that are unfinished longest until the others are within the limit.
  func endOldestFrames() {
    while held.isExceeded {
      let unfinished = sessions.values.filter { $0.incompleteSince != nil && !$0.isEnding }
      guard let oldest = unfinished.min(by: { $0.incompleteSince! < $1.incompleteSince! }) else { return }
      oldest.endUnfinishedFrame()
    }
  }

  /// Peers have taken so little of what was written that each now gets little ahead of what it takes.
  var isCrowded: Bool { unsent.isExceeded }

  /// Bytes of one step of a read or a subscription; one record may take more.
  var stepBytes: Int { isCrowded ? 16 << 10 : 256 << 10 }

  /// Cuts peers that take nothing while there is no room, those first that have not for longest.
  private func relieve(_ now: NIODeadline) {
    if isCrowded {
      wasCrowded = true
      let stalled = sessions.values.filter { session in session.stalledSince.map { now >= $0 + Self.crowdedPatience } ?? false }
      for session in stalled.sorted(by: { $0.stalledSince! < $1.stalledSince! }) where isCrowded {
        session.abort(
          "the peer read nothing for 1 s, and more than \(configuration.sendBytes) bytes (send_bytes) wait for all peers")
      }
    }
    guard wasCrowded else { return }
    wasCrowded = isCrowded
    for session in Array(sessions.values) { session.proceed() }
  }

  // MARK: - Appends

  /// The batch that appends go to until the loop has gone round.
  func openBatch() -> AppendBatch {
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

  /// - Parameter cost: that of the open batch.
  func batchGrew(to cost: Int) {
    if cost >= Self.batchBytes { submit() }
  }

  func submit() {
    guard let batch = open else { return }
    open = nil
    guard !batch.requests.isEmpty else { return recycle(batch) }
    if let refusal = log.sequencer.submit(batch) {
      forEachSender(of: batch) { session, request in session.refused(request, refusal) }
      recycle(batch)
      flush()
    }
  }

  /// Tells the sessions what became of their appends: each all of those that are in a row.
  private func forEachSender(of batch: AppendBatch, _ tell: (Session, UnsafePointer<AppendBatch.Request>) -> Void) {
    batch.withRequests { requests in
      var index = 0
      while index < requests.count {
        let sender = requests[index].sender
        // A connection that has closed meanwhile hears nothing more.
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

  /// On a thread that stores: wakes the loop once for whatever there is.
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

  /// Answers the appends that have their outcome, and notes whom there is more to be pushed to.
  ///
  /// - Returns: whether somebody follows the log.
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
    // Answers first: their peers wait for nothing else.
    flush()
    for subscription in following where subscription.isReady { queue(subscription) }
    return !following.isEmpty
  }

  // MARK: - Pushing

  func follow(_ subscription: Subscription) {
    subscription.place = following.count
    following.append(subscription)
    subscriptions.add(1, ordering: .relaxed)
  }

  func unfollow(_ subscription: Subscription) {
    let last = following.removeLast()
    if last !== subscription {
      following[subscription.place] = last
      last.place = subscription.place
    }
    subscriptions.subtract(1, ordering: .relaxed)
  }

  /// Pushes to a subscription when its turn comes.
  func push(to subscription: Subscription) {
    queue(subscription)
    guard !isPushDue else { return }
    isPushDue = true
    loop.execute { [self] in
      isPushDue = false
      pushSlice()
    }
  }

  private func queue(_ subscription: Subscription) {
    guard !subscription.isQueued else { return }
    subscription.isQueued = true
    pushes.add(subscription)
  }

  /// Gives turns until the slice's budget is spent; the rest of them when the loop has looked at its sockets. Appends that were read and
  /// answers that are due go before it: what they wait for is one slice of pushing, never two.
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
    isPushDue = true
    turn.ask()
  }

  // MARK: - Writing

  /// Notes that a session has frames to be written when the work at hand is done.
  func markDirty(_ session: Session) { dirty.append(session) }

  func flush() {
    while !dirty.isEmpty {
      let sessions = dirty
      dirty.removeAll(keepingCapacity: true)
      for session in sessions { session.flushFrames() }
    }
  }

  /// A piece of a commit as the network library wants it, copied once for all subscriptions of this loop that are at the same place. A
  /// slow peer keeps the piece that it has not taken, never the whole commit.
  private struct SharedPiece {
    let sequences: Range<UInt64>
    let buffer: ByteBuffer
  }

  func buffer(of sequences: Range<UInt64>, in commit: CommitBytes, _ range: Range<Int>) -> ByteBuffer {
    piece(sequences, byteCount: range.count) { $0.writeBytes(UnsafeRawBufferPointer(rebasing: commit.bytes[range])) }
  }

  /// The records of several commits in a row, of the first one from `start` on.
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

  /// Tells every session that the server goes down. Each closes when its appends are answered.
  func drain() {
    loop.execute { [self] in
      submit()
      for session in Array(sessions.values) { session.drain() }
      flush()
    }
  }

  func closeAll() -> EventLoopFuture<Void> {
    loop.submit { [self] in
      for session in Array(sessions.values) { session.abort("cut off at the end of the drain timeout") }
    }
  }
}
