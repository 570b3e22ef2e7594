import Histogram
import Synchronization

/// A histogram of latencies in microseconds, with three significant digits, up to 10 minutes.
final class Latencies: Sendable {
  private static var empty: Histogram<UInt64> {
    Histogram(lowestDiscernibleValue: 1, highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: .three)
  }
  private let histogram = Mutex(empty)

  func record(microseconds: UInt64, count: Int) {
    histogram.withLock { _ = $0.record(min(microseconds, 600_000_000), count: UInt64(count)) }
  }

  func withRecording(_ body: ((UInt64) -> Void) -> Void) {
    histogram.withLock { histogram in body { microseconds in histogram.record(min(microseconds, 600_000_000)) } }
  }

  /// Merges histograms. Returns `nil` if nothing was recorded.
  static func summary(_ parts: [Latencies]) -> LatencySummary? {
    var all = empty
    for part in parts { part.histogram.withLock { all.add($0) } }
    guard all.totalCount > 0 else { return nil }
    return LatencySummary(
      count: all.totalCount, min: all.min, mean: (all.mean * 10).rounded() / 10, p50: all.valueAtPercentile(50),
      p90: all.valueAtPercentile(90), p99: all.valueAtPercentile(99), p999: all.valueAtPercentile(99.9), max: all.max)
  }
}

/// A summary of latencies, in microseconds.
public struct LatencySummary: Codable, Sendable {
  public var count: UInt64
  public var min: UInt64
  public var mean: Double
  public var p50: UInt64
  public var p90: UInt64
  public var p99: UInt64
  public var p999: UInt64
  public var max: UInt64
}
