import Synchronization

/// Counts durations in fixed buckets from 50 µs to 10 s, for metrics.
public final class DurationHistogram: Sendable {
  /// Upper bounds of the buckets, in seconds. Buckets are cumulative.
  public static let bounds = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  ]

  public struct Snapshot: Sendable, Equatable {
    /// Observations at or under each of `bounds`.
    public var counts = [UInt64](repeating: 0, count: DurationHistogram.bounds.count)
    public var total: UInt64 = 0
    /// Sum of all durations in seconds.
    public var seconds = 0.0

    public init() {}
  }

  private let state = Mutex(Snapshot())

  public init() {}

  /// Adds observations.
  ///
  /// - Parameters:
  ///   - duration: the observed duration.
  ///   - count: number of observations.
  public func observe(_ duration: Duration, count: UInt64 = 1) {
    guard count > 0 else { return }
    let seconds = duration / .seconds(1)
    state.withLock { state in
      for index in Self.bounds.indices.reversed() {
        guard seconds <= Self.bounds[index] else { break }
        state.counts[index] += count
      }
      state.total += count
      state.seconds += seconds * Double(count)
    }
  }

  public var snapshot: Snapshot { state.withLock { $0 } }
}
