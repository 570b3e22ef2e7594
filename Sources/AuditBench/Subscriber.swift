import AuditClient
import AuditSchema
import NIOCore
import Synchronization

/// A connection that follows or reads the log: receives batches and grants new credit.
///
/// `@unchecked Sendable`: all state but the atomic counters is confined to the connection's event loop.
final class Subscriber: ReplyReceiver, @unchecked Sendable {
  /// Whether gaps between sequences are allowed: with a filter they are.
  enum Order { case everyRecord, filtered }

  private let client: AuditClient
  private let eventLoop: any EventLoop
  private let clock: BenchClock
  private let order: Order
  private let creditBytes: Int
  private let isLatencyMeasured: Bool

  let latencies = Latencies()
  let records = Atomic<UInt64>(0)
  let bytes = Atomic<UInt64>(0)
  /// Number of sequences that were missing, repeated or out of order.
  let disorder = Atomic<UInt64>(0)
  /// Number of records that arrived in the measured time.
  let measured = Atomic<UInt64>(0)
  /// When it was opened, and when its first and its newest record came, in monotonic nanoseconds.
  let opened = Atomic<UInt64>(0)
  let firstArrival = Atomic<UInt64>(0)
  let lastArrival = Atomic<UInt64>(0)

  private var expected: UInt64?
  private var position: UInt64 = 0
  private var owed = 0
  private var grant: (@Sendable (Int) -> Void)?
  private var measuredTime: Range<UInt64> = 0..<0
  private var window: FanOutWindow?
  private var isCaughtUp = false
  private var failure: ClientError?
  private var waiters: [(isDone: (Subscriber) -> Bool, promise: EventLoopPromise<Void>)] = []

  init(client: AuditClient, order: Order, plan: BenchPlan, isLatencyMeasured: Bool, clock: BenchClock) throws(BenchError) {
    guard let eventLoop = client.eventLoop else { throw BenchError(description: "the connection is closed") }
    self.client = client
    self.eventLoop = eventLoop
    self.order = order
    self.clock = clock
    self.isLatencyMeasured = isLatencyMeasured
    creditBytes = Int(min(UInt64(plan.creditBytes), client.welcome.limits.creditBytes))
  }

  func open(from start: Start, filter: RecordFilter = RecordFilter()) async throws {
    opened.store(BenchClock.now, ordering: .relaxed)
    try await eventLoop.submit { [self] in
      grant = try client.subscribe(from: start, filter: filter, creditBytes: creditBytes, to: self)
    }.get()
  }

  /// - Parameters:
  ///   - time: the measured time, in monotonic nanoseconds.
  ///   - window: is notified of arrivals; `nil`: none.
  func measure(_ time: Range<UInt64>, window: FanOutWindow?) {
    eventLoop.execute { [self] in
      measuredTime = time
      self.window = window
    }
  }

  func untilCaughtUp() async throws { try await until { $0.isCaughtUp } }

  /// Returns when all records before this sequence have arrived or were filtered out.
  func untilPosition(_ next: UInt64) async throws { try await until { $0.position >= next } }

  func untilRecords(_ count: UInt64) async throws { try await until { $0.records.load(ordering: .relaxed) >= count } }

  private func until(_ isDone: @escaping @Sendable (Subscriber) -> Bool) async throws {
    try await eventLoop.flatSubmit { [self] in
      let promise = eventLoop.makePromise(of: Void.self)
      waiters.append((isDone, promise))
      wake()
      return promise.futureResult
    }.get()
  }

  private func wake() {
    waiters.removeAll { waiter in
      if waiter.isDone(self) {
        waiter.promise.succeed()
      } else if let failure {
        waiter.promise.fail(failure)
      } else {
        return false
      }
      return true
    }
  }

  // MARK: - ReplyReceiver

  func push(_ element: ReplyElement) -> Int {
    switch element {
    case .records(let next, let leafHash, let batch): return batch.withUnsafeBytes { push(records: $0, next: next, leafHash: leafHash) }
    case .caughtUp(let next, _, _):
      isCaughtUp = true
      position = next
    case .progress(let next, _, _): position = next
    case .readEnd: break
    }
    window?.delivered()
    if !waiters.isEmpty { wake() }
    return 0
  }

  func push(records batch: UnsafeRawBufferPointer, next: UInt64, leafHash: [UInt8]?) -> Int {
    take(batch)
    position = next
    owed += batch.count
    // Credit is granted a quarter at a time: fewer frames, and the server never runs out.
    if owed >= creditBytes / 4 {
      grant?(owed)
      owed = 0
    }
    window?.delivered()
    if !waiters.isEmpty { wake() }
    return 0
  }

  func finish(_ error: ClientError?) {
    failure = error ?? ClientError(.closed, "the server ended the subscription")
    wake()
  }

  private func take(_ batch: UnsafeRawBufferPointer) {
    let now = BenchClock.now
    let timeOfDay = clock.timeOfDay(at: now)
    let isMeasured = measuredTime.contains(now)
    var count: UInt64 = 0
    latencies.withRecording { record in
      RecordBatchBytes(batch).forEachRecord { bytes in
        count += 1
        guard let parts = RecordBytes(bytes), let sequence = parts.sequence else { return }
        if let expected, order == .everyRecord ? sequence != expected : sequence < expected {
          disorder.add(1, ordering: .relaxed)
        }
        expected = sequence + 1
        guard isMeasured, isLatencyMeasured, let at = parts.at else { return }
        if let latency = StampText.microseconds(since: at, now: timeOfDay) {
          record(latency)
        }
      }
    }
    if firstArrival.load(ordering: .relaxed) == 0 { firstArrival.store(now, ordering: .relaxed) }
    lastArrival.store(now, ordering: .relaxed)
    records.add(count, ordering: .relaxed)
    bytes.add(UInt64(batch.count), ordering: .relaxed)
    if isMeasured { measured.add(count, ordering: .relaxed) }
  }
}
