import AuditSchema
import Glibc
import Logging
import Synchronization

/// The machine's clock, compared with one that nobody can set: whoever sets it by more than `threshold` is noticed, and the log says so in a record.
///
/// What NTP does all the time (it makes the clock go a little faster or slower) changes both clocks and is no step.
package final class LogClock: Sendable {
  /// The kind of the records that say so.
  package static let kind = "clock_stepped"
  /// A step is named when it is larger. Below it time stands still in the log until the clock has caught up.
  package static let thresholdNanoseconds: UInt64 = 1_000_000_000
  /// A start is named whose clock is further behind the newest record than the log was probably left alone.
  package static let idleNanoseconds: UInt64 = 30 * 86_400 * 1_000_000_000
  /// The two clocks are read one after the other: at most so far from each other, if some attempts allow.
  private static let uncertaintyNanoseconds: UInt64 = 1_000_000
  private static let attempts = 8
  /// Steps that wait for a record; of more the last ones are told.
  private static let maxPending = 16

  private struct State {
    /// What both clocks said when they were compared last; `nil` before.
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
    // With a clock that a test gives, time is what the test says.
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

  /// The time, and the steps that no record says yet.
  package func read() -> (time: UInt64, pending: [ClockStep]) {
    let (wall, wasSet, pending) = compare()
    return (wall, wasSet ? state.withLock { $0.pending } : pending)
  }

  /// Compares the clocks.
  ///
  /// - Returns: whether the machine's clock was set since the last time.
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
      // Whoever is held up between the two clocks reads them again: that is no step.
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
      // Before 1970 it is taken as 1970, and so stands still.
      guard wall > 0 || before > 0 else { return (wall, nil, state.pending) }
      let expected = min(before + (passed - state.elapsed), UTCTime.latest)
      let difference = max(wall, expected) - min(wall, expected)
      return (wall, difference > Self.thresholdNanoseconds ? ClockStep(from: expected, to: wall) : nil, state.pending)
    }
    guard let step else { return (wall, false, pending) }
    note(step, "the machine's clock was set")
    return (wall, true, pending)
  }

  /// A step that nothing but the newest record tells of.
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

  /// Records say so now.
  func recorded(_ steps: [ClockStep]) {
    state.withLock { state in state.pending.removeAll { steps.contains($0) } }
  }

  /// How often the clock was found set since the start, and the last time.
  package var status: (steps: UInt64, last: ClockStep?) { state.withLock { ($0.steps, $0.last) } }

  /// What the log says of a step.
  static func event(_ step: ClockStep) -> Event {
    .custom(
      json: Array(#"{"from":"\#(UTCTime.rfc3339(step.from))","kind":"\#(kind)","to":"\#(UTCTime.rfc3339(step.to))"}"#.utf8))
  }
}
