import AuditLog
import AuditSchema
import MerkleTree
import NIOCore

/// A cursor that pushes: replay from disk while it is behind, from shared memory at the tail, one step in flight at most.
///
/// It holds a position, a credit and at most one step's bytes; a slow peer stops it, and delays nobody.
final class Subscription {
  private static let progressInterval = TimeAmount.seconds(1)

  private let id: UInt64
  private let request: SubscribeRequest
  private unowned let session: Session
  private let lane: Lane
  private let matcher: RecordMatcher?
  /// Memory for reading the store; given back at the tail.
  private var scanner: LogScanner?
  private var isStarted = false
  private var isScanning = false
  private var isCaughtUp = false
  private var hasEnded = false
  private(set) var credit: Int
  /// The position of the next record to look at.
  private(set) var next: UInt64 = 0
  /// Of record `next - 1`; `nil` when the peer has that record, or nobody has looked yet.
  private var leafHash: TreeHash?
  private var isLeafHashUnreadable = false
  private var toldNext: UInt64 = 0
  private var toldAt = NIODeadline.now()
  private var starvedSince: NIODeadline?

  init(id: UInt64, request: SubscribeRequest, session: Session) {
    self.id = id
    self.request = request
    self.session = session
    lane = session.lane
    matcher = request.filter.isEmpty ? nil : RecordMatcher(request.filter)
    credit = Int(request.credit)
  }

  /// Whether it sends nothing more unless the log grows or credit is given.
  var hasNothingToPush: Bool { isStarted && !isScanning && (isCaughtUp && next >= lane.log.nextSequence || credit <= 0) }

  func end() {
    hasEnded = true
    scanner = nil
  }

  func start() {
    scan { [request] scanner, _ in
      let next = try scanner.resolve(request.start, history: request.history)
      return (next, try? scanner.leafHash(before: next))
    } then: { (subscription: Subscription, begin: (UInt64, TreeHash?)) in
      subscription.isStarted = true
      (subscription.next, subscription.leafHash) = begin
      subscription.toldNext = subscription.next
    }
  }

  func add(credit bytes: Int) {
    credit += bytes
    if credit > 0 { starvedSince = nil }
    push()
  }

  /// Pushes what there is as far as credit, the peer and the log allow.
  func push() {
    while isStarted, !hasEnded, !isScanning, session.canWrite() {
      if next >= lane.log.nextSequence {
        scanner = nil
        if !isCaughtUp {
          if leafHash == nil { leafHash = next == 0 ? nil : lane.log.tail.leafHash(of: next - 1) }
          if leafHash == nil, next > 0, !isLeafHashUnreadable { return readLeafHash() }
          isCaughtUp = true
          session.write(
            lane.encoder.subscription(
              id: id, .caughtUp(next: next, leafHash: leafHash?.bytes, checkpoint: session.untoldCheckpoint())))
          told()
        }
        return
      }
      guard credit > 0 else {
        if starvedSince == nil { starvedSince = .now() }
        return
      }
      let commits = lane.log.tail.commits(from: next, maxBytes: lane.stepBytes)
      if commits.isEmpty { return scanStep() }
      scanner = nil
      for commit in commits {
        // One that was pushed in part comes again.
        guard credit > 0, session.canWrite(), next >= commit.firstSequence else { break }
        push(commit)
      }
    }
  }

  private func push(_ commit: CommitBytes) {
    let step = min(lane.stepBytes, max(1, credit))
    if let matcher { return push(commit, matching: matcher, step: step) }
    let start = next == commit.firstSequence ? 0 : commit.offset(of: next)
    if commit.byteCount - start <= step {
      next = commit.nextSequence
      leafHash = nil
      return send(lane.buffer(of: commit, start..<commit.byteCount), next: next)
    }
    // In pieces that fit into frames; the rest of them when there is credit again.
    var end = start
    var fields = WireReader(UnsafeRawBufferPointer(rebasing: commit.bytes[start...]))
    while end - start < step, let field = fields.next() {
      let length = field.end - field.start
      if end > start, end - start + length > step { break }
      end += length
      next += 1
    }
    leafHash = nil
    send(lane.buffer(of: commit, start..<end), next: next)
  }

  /// - Parameter step: bytes of a push; one record may take more.
  private func push(_ commit: CommitBytes, matching matcher: RecordMatcher, step: Int) {
    var step = step
    var batch = ByteBuffer()
    var at = commit.firstSequence
    var isStopped = false
    var lastWanted: UInt64?
    var before: UnsafeRawBufferPointer?
    let bytes = commit.bytes
    RecordBatchBytes(bytes).forEachRange { record, range in
      defer { at += 1 }
      guard at == next, !isStopped else { return }
      if matcher.matches(record) {
        if batch.readableBytes > 0, batch.readableBytes + range.count > step {
          send(batch, next: at, leafHash: lastWanted.map { $0 + 1 == at } ?? false ? nil : before.map { TreeHash(leafOfRecord: $0) })
          batch = ByteBuffer()
          step = min(lane.stepBytes, max(1, credit))
          // The rest of them when there is credit again.
          isStopped = credit <= 0
          if isStopped { return }
        }
        batch.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[range]))
        lastWanted = at
      }
      next = at + 1
      before = record
    }
    leafHash = next == 0 ? nil : commit.leafHash(of: next - 1)
    if batch.readableBytes > 0 { send(batch, next: next, leafHash: lastWanted.map { $0 + 1 == next } ?? false ? nil : leafHash) }
  }

  /// - Parameter leafHash: of record `next - 1`, where it is not the last of the batch.
  private func send(_ batch: ByteBuffer, next: UInt64, leafHash: TreeHash? = nil) {
    credit -= batch.readableBytes
    session.write(
      prefix: ServerFrameEncoder.recordsPrefix(id: id, next: next, leafHash: leafHash?.bytes, batchBytes: batch.readableBytes), batch)
    told()
  }

  private func told() {
    toldNext = next
    toldAt = .now()
  }

  private func scanStep() {
    let end = lane.log.nextSequence
    scan(asStep: true) { [next, credit] scanner, stepBytes in
      try scanner.forwards(from: next, before: end, maxBytes: min(stepBytes, max(1, credit)), maxRecords: .max)
    } then: { subscription, step in
      subscription.next = step.next
      subscription.leafHash = step.leafHash
      if step.records > 0 {
        subscription.send(step.batch, next: step.next, leafHash: step.endsWithBatch ? nil : step.leafHash)
      } else if !step.isAtEnd {
        subscription.session.write(
          subscription.lane.encoder.subscription(id: subscription.id, .progress(next: step.next, leafHash: step.leafHash?.bytes)))
        subscription.told()
      }
    }
  }

  /// For a peer that has caught up, and was sent no record.
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
    let scanner = scanner ?? LogScanner(store: lane.log.store, filter: request.filter, limits: session.server.configuration.limits)
    self.scanner = scanner
    let reference = NIOLoopBound(self, eventLoop: lane.loop)
    session.runJob(asStep: asStep) { stepBytes in
      try work(scanner, stepBytes)
    } then: { session, result in
      let subscription = reference.value
      subscription.isScanning = false
      guard !subscription.hasEnded else { return }
      switch result {
      case .success(let value):
        then(subscription, value)
        subscription.push()
      case .failure(is StepSkipped): subscription.push()
      case .failure(let error): session.endSubscription(subscription.id, SchemaError(storeError: error))
      }
    }
  }

  /// Tells a filtered subscription how far it has come, and finds one that is never given credit.
  ///
  /// - Returns: why the subscription must end.
  func checkDeadlines(_ now: NIODeadline) -> SchemaError? {
    if matcher != nil, isCaughtUp, next > toldNext, session.canWrite(), now >= toldAt + Self.progressInterval {
      session.write(lane.encoder.subscription(id: id, .progress(next: next, leafHash: leafHash?.bytes)))
      told()
    }
    let timeout = session.server.configuration.creditTimeout
    guard let starvedSince, credit <= 0, now >= starvedSince + TimeAmount(timeout) else { return nil }
    return SchemaError(.timeout, "records wait at sequence \(next) and no credit came for \(timeout); subscribe again to go on from there")
  }
}
