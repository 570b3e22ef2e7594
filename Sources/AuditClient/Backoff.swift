/// How long to wait before the next attempt: doubling delays with jitter. A value; who uses it does the waiting.
package struct Backoff {
  private let minimum: Duration
  private let maximum: Duration
  package private(set) var attempts = 0

  package init(_ configuration: ClientConfiguration.Reconnect) {
    minimum = max(configuration.minimumDelay, .milliseconds(1))
    maximum = max(configuration.maximumDelay, minimum)
  }

  /// The delay before the next attempt: between half of the full delay and all of it, so that many clients do not come back at once.
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

  /// The last attempt was of use.
  package mutating func reset() { attempts = 0 }
}
