import Logging
import Synchronization

/// The reasons that a logger was given, at every level, and what a test notes itself.
final class Reasons: Sendable {
  private let reasons = Mutex<[String]>([])

  func contains(_ text: String) -> Bool { reasons.withLock { $0.contains { $0.contains(text) } } }

  func note(_ text: String) { reasons.withLock { $0.append(text) } }

  var logger: Logger { Logger(label: "test") { _ in Handler(reasons: self) } }

  private struct Handler: LogHandler {
    let reasons: Reasons
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      if let reason = event.metadata?["reason"] { reasons.note("\(reason)") }
    }
  }
}
