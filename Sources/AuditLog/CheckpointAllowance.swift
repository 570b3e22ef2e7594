/// How many checkpoints may be signed on request: each is kept for ever, so whoever asks without end gets one that covers more instead of many.
///
/// A second's worth at once, then so many a second.
struct CheckpointAllowance {
  private let perSecond: Double
  private var available: Double
  private var countedAt: MonotonicTime

  init(perSecond: Int, now: MonotonicTime) {
    self.perSecond = Double(perSecond)
    available = Double(perSecond)
    countedAt = now
  }

  /// How long until one may be signed; zero: now.
  mutating func wait(now: MonotonicTime) -> Duration {
    available = min(perSecond, available + Double(now.nanoseconds - countedAt.nanoseconds) / 1e9 * perSecond)
    countedAt = now
    return available >= 1 ? .zero : .seconds((1 - available) / perSecond)
  }

  mutating func take() { available -= 1 }
}
