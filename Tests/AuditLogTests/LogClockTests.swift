import AuditLog
import AuditSchema
import Logging
import Synchronization
import Testing

@Suite
struct LogClockTests {
  private static let second: UInt64 = 1_000_000_000

  /// The machine's clock and the one that nobody can set, as a test wants them.
  private final class Clocks: Sendable {
    let wall = Mutex<UInt64>(1_800_000_000 * second)
    let elapsed = Mutex<UInt64>(77 * second)

    func pass(_ nanoseconds: UInt64, set: Int64 = 0) {
      wall.withLock { $0 = UInt64(Int64($0 + nanoseconds) + set) }
      elapsed.withLock { $0 += nanoseconds }
    }

    func clock(after last: UInt64 = 0) -> LogClock {
      LogClock(
        now: { self.wall.withLock { $0 } }, elapsed: { self.elapsed.withLock { $0 } }, after: last,
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
  }

  @Test("a clock that is set by more than a second is noticed once, and what it should have said")
  func steps() {
    let clocks = Clocks()
    let clock = clocks.clock()
    #expect(!clock.watch().wasSet)
    for (set, isStep) in [(0, false), (999_000_000, false), (-999_000_000, false), (1_000_000_001, true), (-3_600_000_000_000, true)] {
      let before = clocks.wall.withLock { $0 }
      clocks.pass(5 * Self.second, set: Int64(set))
      #expect(clock.watch().wasSet == isStep, "\(set)")
      #expect(!clock.watch().wasSet)
      if isStep {
        let step = ClockStep(from: before + 5 * Self.second, to: clocks.wall.withLock { $0 })
        #expect(clock.status.last == step && clock.read().pending.last == step)
      }
    }
    #expect(clock.status.steps == 2 && clock.read().pending.count == 2)
  }

  @Test("what NTP does to a clock is no step, however long nobody looks")
  func slews() {
    let clocks = Clocks()
    let clock = clocks.clock()
    clock.watch()
    // It changes both clocks alike; each look begins anew.
    for _ in 0..<10_000 {
      clocks.pass(86_400 * Self.second, set: 500_000_000)
      #expect(!clock.watch().wasSet)
    }
  }

  @Test("a start is named whose clock is before the newest record, or 30 days behind it")
  func starts() {
    let clocks = Clocks()
    let now = clocks.wall.withLock { $0 }
    for (last, isNamed) in [
      (now, false), (now + Self.second, false), (now + Self.second + 1, true), (now - 30 * 86_400 * Self.second, false),
      (now - 30 * 86_400 * Self.second - 1, true), (0, false), (UTCTime.latest, true),
    ] {
      let clock = clocks.clock(after: last)
      #expect(clock.status.steps == (isNamed ? 1 : 0), "\(last)")
      #expect(clock.read().pending == (isNamed ? [ClockStep(from: last, to: now)] : []))
    }
  }
}
