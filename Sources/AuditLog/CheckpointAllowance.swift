/// A token bucket for checkpoints that are signed on request: one second's worth at once, then `perSecond`. Each checkpoint is kept for ever,
/// so many requests share one that covers more.
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
