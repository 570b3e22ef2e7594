import AuditSchema
import Glibc
import Logging
import Synchronization

/// The machine's clock, compared with a clock that nobody can set. A step of more than `threshold` is detected and recorded in the log.
///
/// NTP's slewing changes the rate of both clocks and is no step.
package final class LogClock: Sendable {
  /// The kind of the records that say so.
  package static let kind = OwnRecordKind.clockStepped.rawValue
  /// Smaller steps are not reported. After a small step back, the log's time stands still until the clock has caught up.
  package static let thresholdNanoseconds: UInt64 = 1_000_000_000
  /// At a start, a clock further ahead of the newest record than this is reported: probably no log is left alone so long.
  package static let idleNanoseconds: UInt64 = 30 * 86_400 * 1_000_000_000
  /// The two clocks are read at most this far apart, unless several attempts fail.
  private static let uncertaintyNanoseconds: UInt64 = 1_000_000
  private static let attempts = 8
  /// Steps that wait for a record; of more the last ones are told.
  private static let maxPending = 16

  private struct State {
    /// Both clocks at the last comparison; `nil` before the first.
    var wall: UInt64?
    var elapsed: UInt64 = 0
    var pending: [ClockStep] = []
    var steps: UInt64 = 0
    var last: ClockStep?
  }

  private let state: Mutex<State>
  private let now: @Sendable () -> UInt64
  private let elapsed: (@Sendable () -> UInt64)?
  private let logger: Logger

  /// - Parameters:
  ///   - now: Unix time in ns; `nil`: the machine's.
  ///   - elapsed: ns on a clock that nobody can set; `nil` with the machine's clock: its own; with another: none, and no step is noticed.
  ///   - last: `received_at` of the newest record; 0 when there is none.
  package init(
    now: (@Sendable () -> UInt64)? = nil, elapsed: (@Sendable () -> UInt64)? = nil, after last: UInt64, logger: Logger
  ) {
    self.now = now ?? { UTCTime.now() }
    let boottime: @Sendable () -> UInt64 = { Self.boottime() }
    let own = now == nil ? boottime : nil
    self.elapsed = elapsed ?? own
    self.logger = logger
    state = Mutex(State())
    // A test's clock is taken as it is.
    guard self.elapsed != nil, last > 0 else { return }
    let wall = self.now()
    let isBefore = last > wall && last - wall > Self.thresholdNanoseconds
    let isFarBehind = wall > last && wall - last > Self.idleNanoseconds
    guard isBefore || isFarBehind else { return }
    let step = ClockStep(from: last, to: wall)
    note(step, "the machine's clock is \(isBefore ? "before" : "far behind") the newest record: was it set, or the log left alone?")
  }

  /// Time since the machine's start, asleep or not (clock_gettime(2), CLOCK_BOOTTIME).
  private static func boottime() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// The time, and the steps that are not recorded yet.
  package func read() -> (time: UInt64, pending: [ClockStep]) {
    let (wall, wasSet, pending) = compare()
    return (wall, wasSet ? state.withLock { $0.pending } : pending)
  }

  /// Compares the clocks.
  ///
  /// - Returns: whether the machine's clock was set since the last comparison.
  @discardableResult
  package func watch() -> (wall: UInt64, wasSet: Bool) {
    let (wall, wasSet, _) = compare()
    return (wall, wasSet)
  }

  /// - Returns: `pending`: as it was before a step that was found now. Each commit comes here: three looks at the clocks, and the lock once.
  private func compare() -> (wall: UInt64, wasSet: Bool, pending: [ClockStep]) {
    guard let elapsed else { return (now(), false, state.withLock { $0.pending }) }
    let (wall, step, pending) = state.withLock { state -> (UInt64, ClockStep?, [ClockStep]) in
      var passed = elapsed()
      var wall = now()
      // A thread that was suspended between the two readings reads again; that is no step.
      var isClose = false
      for _ in 0..<Self.attempts {
        let after = elapsed()
        isClose = after - passed <= Self.uncertaintyNanoseconds
        if isClose { break }
        passed = after
        wall = now()
      }
      guard isClose || elapsed() - passed <= Self.thresholdNanoseconds / 4 else { return (wall, nil, state.pending) }
      defer { (state.wall, state.elapsed) = (wall, passed) }
      guard let before = state.wall, passed >= state.elapsed else { return (wall, nil, state.pending) }
      // A time before 1970 counts as 1970.
      guard wall > 0 || before > 0 else { return (wall, nil, state.pending) }
      let expected = min(before + (passed - state.elapsed), UTCTime.latest)
      let difference = max(wall, expected) - min(wall, expected)
      return (wall, difference > Self.thresholdNanoseconds ? ClockStep(from: expected, to: wall) : nil, state.pending)
    }
    guard let step else { return (wall, false, pending) }
    note(step, "the machine's clock was set")
    return (wall, true, pending)
  }

  /// Notes a step that is known only from the newest record's time.
  func note(_ step: ClockStep, _ sentence: String) {
    state.withLock { state in
      state.steps += 1
      state.last = step
      if state.pending.count == Self.maxPending { state.pending.removeLast() }
      state.pending.append(step)
    }
    logger.warning(
      "\(sentence)", metadata: ["from": "\(UTCTime.rfc3339(step.from))", "to": "\(UTCTime.rfc3339(step.to))"])
  }

  /// The steps are recorded now.
  func recorded(_ steps: [ClockStep]) {
    state.withLock { state in state.pending.removeAll { steps.contains($0) } }
  }

  /// How often the clock was found set since the start, and the last time.
  package var status: (steps: UInt64, last: ClockStep?) { state.withLock { ($0.steps, $0.last) } }

  /// The event that records a step.
  static func event(_ step: ClockStep) -> Event {
    .custom(
      json: Array(#"{"from":"\#(UTCTime.rfc3339(step.from))","kind":"\#(kind)","to":"\#(UTCTime.rfc3339(step.to))"}"#.utf8))
  }
}
