import AuditClient
import Testing

struct BackoffTests {
  @Test("delays double from the minimum to the maximum, each between half and all of it, and begin anew after a reset")
  func delays() {
    let seed = SeededGenerator.printedSeed("delays")
    var generator = SeededGenerator(seed: seed)
    var configuration = ClientConfiguration.Reconnect()
    configuration.minimumDelay = .milliseconds(100)
    configuration.maximumDelay = .milliseconds(1000)
    var backoff = Backoff(configuration)
    for _ in 0..<2 {
      for full in [100, 200, 400, 800, 1000, 1000] {
        let delay = backoff.next(using: &generator)
        #expect(delay >= .milliseconds(full) / 2 && delay <= .milliseconds(full), "seed \(seed)")
      }
      backoff.reset()
    }
  }

  @Test("a hundred attempts later the delay is still the maximum")
  func manyAttempts() {
    var backoff = Backoff(ClientConfiguration.Reconnect())
    for _ in 0..<100 { #expect(backoff.next() <= .seconds(5)) }
    #expect(backoff.next() >= .milliseconds(2500))
  }
}
