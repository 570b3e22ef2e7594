import AuditLog
import AuditSchema
import MerkleTree
import NIOCore

/// A read request under way. It takes one step at a time: the next one after the peer has read the last.
final class SessionRead {
  private let id: UInt64
  private var request: ReadRequest
  private unowned let session: Session
  /// The session releases it when the read ends.
  let filter: SharedFilters.Shared?
  private let scanner: LogScanner
  private var endSequence: UInt64 = 0
  private var isStarted = false
  private var isStepping = false
  /// Whether the next step waits for its identity's quota.
  private var isWaiting = false
  private var hasEnded = false
  private(set) var next: UInt64 = 0
  /// Where it began; `nil` before its first step.
  private(set) var first: UInt64?
  /// Leaf hash of record `next - 1`, if it is known.
  private var leafHash: TreeHash?
  private(set) var sent: UInt64 = 0
  private(set) var erasedSkipped: UInt64 = 0

  init(id: UInt64, request: ReadRequest, filter: SharedFilters.Shared?, session: Session) {
    self.id = id
    self.request = request
    self.filter = filter
    self.session = session
    // The values are in `filter`.
    self.request.filter = RecordFilter()
    scanner = LogScanner(
      store: session.shard.log.store, matcher: filter?.matcher, limits: session.limits, memory: session.server.scanMemory)
  }

  func cancel() { hasEnded = true }

  func start() {
    isStepping = true
    run { [scanner, request] _ in
      let first = try scanner.resolve(request.start, history: request.history, backwards: request.backwards)
      // A read that takes no step.
      let leafHash = request.limit == 0 && !request.backwards ? try scanner.leafHash(before: first) : nil
      return (first, try scanner.end(), leafHash)
    } then: { (read: SessionRead, bounds: (UInt64, UInt64, TreeHash?)) in
      read.isStarted = true
      read.next = bounds.0
      read.endSequence = bounds.1
      read.leafHash = bounds.2
      if read.request.backwards { read.next = min(bounds.0, bounds.1) }
      read.first = read.next
      read.advance()
    }
  }

  /// Takes the next step, if the peer keeps up.
  func advance() {
    guard isStarted, !isStepping, !isWaiting, !hasEnded, session.canWrite() else { return }
    isWaiting = session.waitsToReplay(self) { read in
      read.isWaiting = false
      read.advance()
    }
    guard !isWaiting else { return }
    let left = request.limit.map { $0 - min($0, sent) } ?? .max
    guard left > 0 else { return finish() }
    isStepping = true
    run(asStep: true) { [scanner, next, endSequence, backwards = request.backwards] bytes in
      backwards
        ? try scanner.backwards(from: next, maxBytes: bytes, maxRecords: left)
        : try scanner.forwards(from: next, before: endSequence, maxBytes: bytes, maxRecords: left)
    } then: { (read: SessionRead, step: LogScanner.Step) in
      read.next = step.next
      read.leafHash = step.leafHash
      read.erasedSkipped += step.erasedSkipped
      if step.records > 0 {
        read.sent += step.records
        read.session.access.usage?.replayed(step.batch.readableBytes)
        let prefix = ServerFrameEncoder.recordsPrefix(
          id: read.id, next: step.next, leafHash: step.untoldLeafHash, batchBytes: step.batch.readableBytes)
        read.session.write(prefix: prefix, step.batch)
      }
      if step.isAtEnd { read.finish() } else { read.advance() }
    }
  }

  private func finish() {
    hasEnded = true
    session.write(session.shard.encoder.readEnd(id: id, end))
    session.readEnded(id)
  }

  /// The `ReadEnd`, wherever the read ends.
  var end: ReadEnd { ReadEnd(next: next, records: sent, leafHash: leafHash?.bytes, erasedSkipped: erasedSkipped) }

  private func run<Value: Sendable>(
    asStep: Bool = false, _ work: @escaping @Sendable (_ stepBytes: Int) throws -> Value,
    then: @escaping @Sendable (SessionRead, Value) -> Void
  ) {
    let reference = NIOLoopBound(self, eventLoop: session.shard.loop)
    session.runJob(asStep: asStep, work) { session, result in
      let read = reference.value
      read.isStepping = false
      guard !read.hasEnded else { return }
      switch result {
      case .success(let value): then(read, value)
      case .failure(is StepSkipped): read.advance()
      case .failure(let error):
        read.hasEnded = true
        let error = RequestError(storeError: error)
        session.write(session.shard.encoder.error(id: read.id, error))
        session.readEnded(read.id, error)
      }
    }
  }
}
