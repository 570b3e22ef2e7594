import AuditClient
import AuditSchema
import NIOCore
import Synchronization

/// A client that appends: keeps its window full (closed loop), or sends at fixed times (open loop).
///
/// `@unchecked Sendable`: all state but the atomic counters is confined to the connection's event loop.
final class Appender: @unchecked Sendable {
  /// Times of a run, in monotonic nanoseconds. Without an end, the run ends when all events are answered.
  struct Schedule {
    var start: UInt64
    var measuredFrom: UInt64
    var end: UInt64?
    /// Nanoseconds between two appends of this client; `nil` in a closed loop.
    var interval: Double?
  }

  private let client: AuditClient
  private let eventLoop: any EventLoop
  private let clock: BenchClock
  private let batch: Int
  private let window: Int
  private let fanOut: FanOutWindow?
  private let schedule: Schedule

  let latencies = Latencies()
  /// Number of recorded events; of those recorded in the measured time; and of refused events.
  let recorded = Atomic<UInt64>(0)
  let measured = Atomic<UInt64>(0)
  let refused = Atomic<UInt64>(0)
  /// When the newest answer came, in monotonic nanoseconds.
  let lastAnswer = Atomic<UInt64>(0)

  private var supply: EventSupply
  private var text = StampText()
  /// Number of appends still to send; `nil`: until the schedule's end.
  private var remaining: UInt64?
  private var sent: UInt64 = 0
  private var inFlight = 0
  private var isSending = false
  private var isTimerSet = false
  private var failure: ClientError?
  private var hasFailed = false
  private var done: EventLoopPromise<Void>?

  init(
    client: AuditClient, supply: EventSupply, plan: BenchPlan, appends: UInt64?, schedule: Schedule, fanOut: FanOutWindow?,
    clock: BenchClock
  ) throws(BenchError) {
    guard let eventLoop = client.eventLoop else { throw BenchError(description: "the connection is closed") }
    self.client = client
    self.eventLoop = eventLoop
    self.supply = supply
    self.schedule = schedule
    self.fanOut = fanOut
    self.clock = clock
    batch = plan.batch
    window = plan.inFlight
    remaining = appends
  }

  /// Runs the schedule, and returns when all appends are answered.
  ///
  /// - Throws: the reason why the connection ended.
  func run() async throws {
    try await eventLoop.flatSubmit { [self] in
      let promise = eventLoop.makePromise(of: Void.self)
      done = promise
      eventLoop.scheduleTask(deadline: .uptimeNanoseconds(schedule.start)) { self.proceed(at: BenchClock.now) }
      return promise.futureResult
    }.get()
  }

  private func proceed(at now: UInt64) {
    // An append that fails at once calls `answered` before `append` returns.
    guard !isSending else { return }
    isSending = true
    while let due = nextDue(at: now) {
      text.set(clock.timeOfDay(at: due))
      sent += 1
      inFlight += batch
      if let remaining { self.remaining = remaining - 1 }
      supply.withNext(stamped: text) { events in
        client.append(events) { [self] result in answered(result, due: due) }
      }
    }
    isSending = false
    guard inFlight == 0, isOver(at: now) else { return }
    if let failure { done?.fail(failure) } else { done?.succeed() }
    done = nil
  }

  private func isOver(at now: UInt64) -> Bool {
    if hasFailed || remaining == 0 { return true }
    guard let end = schedule.end else { return false }
    return max(now, dueTime ?? 0) >= end
  }

  /// When the next append is due in an open loop.
  private var dueTime: UInt64? { schedule.interval.map { schedule.start + UInt64(Double(sent) * $0) } }

  /// The time from which the next append's latency counts; `nil` if none is to be sent now.
  private func nextDue(at now: UInt64) -> UInt64? {
    guard !hasFailed, remaining != 0, inFlight + batch <= window else { return nil }
    let due = dueTime ?? now
    // Appends due before the end are sent even after it.
    if let end = schedule.end, due >= end { return nil }
    if due <= now {
      guard let fanOut, !fanOut.take(batch, else: { [self] in eventLoop.execute { self.proceed(at: BenchClock.now) } }) else { return due }
      return nil
    }
    if !isTimerSet {
      isTimerSet = true
      eventLoop.scheduleTask(deadline: .uptimeNanoseconds(due)) { [self] in
        isTimerSet = false
        proceed(at: BenchClock.now)
      }
    }
    return nil
  }

  private func answered(_ result: Result<Appended, ClientError>, due: UInt64) {
    let now = BenchClock.now
    inFlight -= batch
    switch result {
    case .success(let appended):
      let count = UInt64(appended.recorded)
      recorded.add(count, ordering: .relaxed)
      lastAnswer.store(now, ordering: .relaxed)
      // An open loop counts an append at its due time, a closed loop at its answer.
      let instant = schedule.interval == nil ? now : due
      if instant >= schedule.measuredFrom, schedule.end.map({ instant < $0 }) ?? true {
        measured.add(count, ordering: .relaxed)
        latencies.record(microseconds: (now - min(due, now)) / 1000, count: appended.recorded)
      }
    case .failure(let error):
      refused.add(UInt64(batch), ordering: .relaxed)
      // A retryable refusal only keeps the window smaller for a while. Any other error ends the run.
      if error.refusal?.code != .overloaded, !hasFailed {
        failure = error
        hasFailed = true
      }
    }
    proceed(at: now)
  }
}
