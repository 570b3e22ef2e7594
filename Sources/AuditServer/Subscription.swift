import AuditLog
import AuditSchema
import MerkleTree
import NIOCore

/// A cursor that pushes: it replays from disk while it is behind, and takes shared memory at the tail. At most one step is in flight.
///
/// It holds a position, a credit, and at most one step's bytes. A slow peer stops its own subscription and delays nobody else.
final class Subscription {
  private static let progressInterval = TimeAmount.seconds(1)

  private let id: UInt64
  private let beginning: Start
  private let history: LogHistory?
  private unowned let session: Session
  private let shard: EventLoopShard
  /// `nil` matches every record. The session releases it when the subscription ends.
  let filter: SharedFilters.Shared?
  /// Reads the store while behind the tail; `nil` at the tail.
  private var scanner: LogScanner?
  private var isStarted = false
  private var isScanning = false
  private var isCaughtUp = false
  private var hasEnded = false
  private(set) var credit: Int
  /// Sequence of the next record to examine.
  private(set) var next: UInt64 = 0
  /// Where it began; `nil` before its first step.
  private(set) var first: UInt64?
  /// Number of records that it was sent.
  private(set) var delivered: UInt64 = 0
  /// Leaf hash of record `next - 1`; `nil` if the client has that record, or before the first step.
  private var leafHash: TreeHash?
  private var isLeafHashUnreadable = false
  private var toldNext: UInt64 = 0
  private var toldAt = NIODeadline.now()
  private var starvedSince: NIODeadline?
  /// Erased records that were skipped: nobody can tell any more whether they matched.
  private(set) var erasedSkipped: UInt64 = 0
  /// Used by the shard: index in its list of subscriptions, and whether it is in the push queue.
  var place = 0
  var isQueued = false

  init(id: UInt64, request: SubscribeRequest, filter: SharedFilters.Shared?, session: Session) {
    self.id = id
    beginning = request.start
    history = request.history
    self.filter = filter
    self.session = session
    shard = session.shard
    credit = Int(request.credit)
  }

  /// Whether it has nothing to send until the log grows or credit comes.
  var hasNothingToPush: Bool { isStarted && !isScanning && (isCaughtUp && next >= shard.log.nextSequence || credit <= 0) }

  func end() {
    hasEnded = true
    scanner = nil
  }

  func start() {
    scan { [beginning, history] scanner, _ in
      let next = try scanner.resolve(beginning, history: history)
      return (next, try? scanner.leafHash(before: next))
    } then: { (subscription: Subscription, begin: (UInt64, TreeHash?)) in
      subscription.isStarted = true
      (subscription.next, subscription.leafHash) = begin
      subscription.first = begin.0
      subscription.toldNext = subscription.next
    }
  }

  func add(credit bytes: Int) {
    credit += bytes
    if credit > 0 { starvedSince = nil }
    shard.push(to: self)
  }

  /// Records that it has not looked at yet; `nil` before it has its beginning.
  func lag(behind end: UInt64) -> UInt64? { isStarted && !hasEnded ? end - min(next, end) : nil }

  /// Whether a new commit concerns it: it has started and waits at the tail.
  var isReady: Bool { isStarted && !isScanning && !hasEnded }

  /// Pushes records as far as credit, peer and the slice's budget allow.
  ///
  /// - Returns: whether it stopped because the budget was spent.
  func push(_ budget: inout PushBudget) -> Bool {
    var pushed = 0
    while isReady, session.canWrite() {
      if next >= shard.log.nextSequence {
        scanner = nil
        if !isCaughtUp {
          if leafHash == nil { leafHash = next == 0 ? nil : shard.log.tail.leafHash(of: next - 1) }
          if leafHash == nil, next > 0, !isLeafHashUnreadable {
            readLeafHash()
            return false
          }
          isCaughtUp = true
          write(.caughtUp(next: next, leafHash: leafHash?.bytes, checkpoint: session.untoldCheckpoint()))
        }
        return false
      }
      guard credit > 0 else {
        if starvedSince == nil { starvedSince = .now() }
        return false
      }
      if pushed > 0, budget.isSpent { return true }
      let commits = shard.log.tail.commits(from: next, maxBytes: shard.stepBytes)
      if commits.isEmpty {
        scanStep()
        return false
      }
      scanner = nil
      guard let filter else {
        push(commits[...], &budget)
        pushed += 1
        continue
      }
      // Rights that allow everything that comes are the common case.
      let whole = commits.prefix { commit in
        var isNew = false
        let matches = shard.filters.matches(filter, in: commit, isNew: &isNew)
        if isNew { budget.looked(at: commit.byteCount) }
        return UInt64(matches.records.count) == commit.nextSequence - commit.firstSequence
      }
      if whole.isEmpty { push(commits[...], matching: filter, &budget) } else { push(whole, &budget) }
      pushed += 1
    }
    return false
  }

  /// A turn is over. If the peer has shut down its sending side, this may have been the last thing to send.
  func pushed() {
    if !hasEnded { session.finishIfDone() }
  }

  /// Consecutive small commits are joined into one frame up to this size, in bytes.
  private static let joinedBytes = 64 << 10

  private func push(_ commits: ArraySlice<CommitBytes>, _ budget: inout PushBudget) {
    var commits = commits
    var isFirst = true
    while let commit = commits.first, credit > 0, isFirst || session.canWrite() && !budget.isSpent {
      guard next < commit.nextSequence else {
        commits = commits.dropFirst()
        continue
      }
      let step = min(shard.stepBytes, max(1, credit))
      let first = next
      let start = first == commit.firstSequence ? 0 : commit.offset(of: first)
      var byteCount = commit.byteCount - start
      defer { isFirst = false }
      guard byteCount <= step else {
        // Split into frames; the rest follows when there is credit again.
        let (range, records) = Self.piece(of: commit, from: start, step: step)
        next += records
        leafHash = nil
        delivered += records
        budget.wrote(range.count, isFirst: isFirst)
        send(shard.buffer(of: first..<next, in: commit, range))
        continue
      }
      var joined = 1
      for more in commits.dropFirst() {
        guard byteCount + more.byteCount <= min(step, Self.joinedBytes) else { break }
        byteCount += more.byteCount
        joined += 1
      }
      leafHash = nil
      let sent = commits.prefix(joined)
      commits = commits.dropFirst(joined)
      next = sent.last!.nextSequence
      delivered += next - first
      budget.wrote(byteCount, isFirst: isFirst)
      send(shard.buffer(of: first..<next, in: sent, from: start, byteCount: byteCount))
    }
  }

  /// Whole records from `start` on, at most `step` bytes; one record may be larger.
  private static func piece(of commit: CommitBytes, from start: Int, step: Int) -> (range: Range<Int>, records: UInt64) {
    var end = start
    var records: UInt64 = 0
    var fields = WireReader(UnsafeRawBufferPointer(rebasing: commit.bytes[start...]))
    while end - start < step, let field = fields.next() {
      let length = field.end - field.start
      if end > start, end - start + length > step { break }
      end += length
      records += 1
    }
    return (start..<end, records)
  }

  private func push(_ commits: ArraySlice<CommitBytes>, matching filter: SharedFilters.Shared, _ budget: inout PushBudget) {
    var step = min(shard.stepBytes, max(1, credit))
    var batch = ByteBuffer()
    /// The last record of the batch.
    var last: UInt64?
    var isFirst = true
    for commit in commits {
      var isNew = false
      let matches = shard.filters.matches(filter, in: commit, isNew: &isNew)
      if isNew { budget.looked(at: commit.byteCount) }
      let start = UInt32(next - commit.firstSequence)
      var end = commit.nextSequence
      for record in matches.records where record.index >= start {
        let sequence = commit.firstSequence + UInt64(record.index)
        if batch.readableBytes > 0, batch.readableBytes + Int(record.end - record.start) > step {
          if sequence > commit.firstSequence { leafHash = commit.leafHash(of: sequence - 1) }
          next = sequence
          sendMatches(&batch, last: last, &budget, isFirst: isFirst)
          (isFirst, step) = (false, min(shard.stepBytes, max(1, credit)))
          // The rest follows when there is credit again, or in the next slice.
          if credit <= 0 || budget.isSpent || !session.canWrite() {
            end = sequence
            break
          }
        }
        batch.writeBytes(UnsafeRawBufferPointer(rebasing: commit.bytes[Int(record.start)..<Int(record.end)]))
        last = sequence
        delivered += 1
      }
      erasedSkipped += UInt64(matches.erased.count(where: { $0 >= start && commit.firstSequence + UInt64($0) < end }))
      if end > next { leafHash = commit.leafHash(of: end - 1) }
      next = end
      if next < commit.nextSequence || budget.isSpent { break }
    }
    sendMatches(&batch, last: last, &budget, isFirst: isFirst)
  }

  private func sendMatches(_ batch: inout ByteBuffer, last: UInt64?, _ budget: inout PushBudget, isFirst: Bool) {
    guard batch.readableBytes > 0 else { return }
    budget.wrote(batch.readableBytes, isFirst: isFirst)
    send(batch, leafHash: last.map { $0 + 1 == next } ?? false ? nil : leafHash)
    batch = ByteBuffer()
  }

  /// Sends a batch, and the position up to which the log was examined.
  ///
  /// - Parameter leafHash: of record `next - 1`, if that is not the batch's last record.
  private func send(_ batch: ByteBuffer, leafHash: TreeHash? = nil) {
    credit -= batch.readableBytes
    session.write(
      prefix: ServerFrameEncoder.recordsPrefix(id: id, next: next, leafHash: leafHash?.bytes, batchBytes: batch.readableBytes), batch)
    told()
  }

  private func write(_ state: SubscriptionState) {
    session.write(shard.encoder.subscription(id: id, state, erasedSkipped: erasedSkipped))
    told()
  }

  private func told() {
    toldNext = next
    toldAt = .now()
  }

  private func scanStep() {
    isScanning = session.waitsToReplay(self) { subscription in
      subscription.isScanning = false
      if !subscription.hasEnded { subscription.shard.push(to: subscription) }
    }
    guard !isScanning else { return }
    let end = shard.log.nextSequence
    scan(asStep: true) { [next, credit] scanner, stepBytes in
      try scanner.forwards(from: next, before: end, maxBytes: min(stepBytes, max(1, credit)), maxRecords: .max)
    } then: { subscription, step in
      subscription.next = step.next
      subscription.leafHash = step.leafHash
      subscription.erasedSkipped += step.erasedSkipped
      subscription.delivered += step.records
      if step.records > 0 {
        subscription.session.access.usage?.replayed(step.batch.readableBytes)
        subscription.send(step.batch, leafHash: step.endsWithBatch ? nil : step.leafHash)
      } else if !step.isAtEnd {
        subscription.write(.progress(next: step.next, leafHash: step.leafHash?.bytes))
      }
    }
  }

  /// For a client that has caught up without being sent a record.
  private func readLeafHash() {
    scan { [next] scanner, _ in
      try? scanner.leafHash(before: next)
    } then: { subscription, leafHash in
      subscription.leafHash = leafHash
      subscription.isLeafHashUnreadable = leafHash == nil
    }
  }

  private func scan<Value: Sendable>(
    asStep: Bool = false, _ work: @escaping @Sendable (LogScanner, _ stepBytes: Int) throws -> Value,
    then: @escaping @Sendable (Subscription, Value) -> Void
  ) {
    isScanning = true
    let scanner =
      scanner
      ?? LogScanner(store: shard.log.store, matcher: filter?.matcher, limits: session.limits, memory: session.server.scanMemory)
    self.scanner = scanner
    let reference = NIOLoopBound(self, eventLoop: shard.loop)
    session.runJob(asStep: asStep) { stepBytes in
      try work(scanner, stepBytes)
    } then: { session, result in
      let subscription = reference.value
      subscription.isScanning = false
      guard !subscription.hasEnded else { return }
      switch result {
      case .success(let value):
        then(subscription, value)
        subscription.shard.push(to: subscription)
      case .failure(is StepSkipped): subscription.shard.push(to: subscription)
      case .failure(let error): session.endSubscription(subscription.id, RequestError(storeError: error))
      }
    }
  }

  /// Sends a filtered subscription its progress, and checks the credit deadline.
  ///
  /// - Returns: the error that ends the subscription; `nil` if it goes on.
  func checkDeadlines(_ now: NIODeadline) -> RequestError? {
    if filter != nil, isCaughtUp, next > toldNext, session.canWrite(), now >= toldAt + Self.progressInterval {
      write(.progress(next: next, leafHash: leafHash?.bytes))
    }
    let timeout = session.server.configuration.creditTimeout
    guard let starvedSince, credit <= 0, now >= starvedSince + TimeAmount(timeout) else { return nil }
    return RequestError(.timeout, "records wait at sequence \(next) and no credit came for \(timeout); subscribe again to go on from there")
  }
}
