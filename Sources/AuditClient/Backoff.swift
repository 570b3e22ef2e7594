/// The delay before the next attempt: doubles each time, with jitter. A value: the caller waits.
package struct Backoff {
  private let minimum: Duration
  private let maximum: Duration
  /// Delays given since the last `reset`.
  package private(set) var attempts = 0

  package init(_ configuration: ClientConfiguration.Reconnect) {
    minimum = max(configuration.minimumDelay, .milliseconds(1))
    maximum = max(configuration.maximumDelay, minimum)
  }

  /// A random delay between half the full delay and all of it, so that many clients do not reconnect at once.
  package mutating func next(using generator: inout some RandomNumberGenerator) -> Duration {
    var full = minimum
    for _ in 0..<min(attempts, 32) where full < maximum { full = min(full * 2, maximum) }
    attempts += 1
    return full / 2 + full / 2 * Double.random(in: 0...1, using: &generator)
  }

  package mutating func next() -> Duration {
    var generator = SystemRandomNumberGenerator()
    return next(using: &generator)
  }

  /// Starts again from the minimum delay, after a successful attempt.
  package mutating func reset() { attempts = 0 }
}
