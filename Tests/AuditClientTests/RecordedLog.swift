import Logging
import Synchronization

/// Keeps what is logged.
final class RecordedLog: Sendable {
  private let lines = Mutex<[(level: Logger.Level, text: String)]>([])

  /// Messages of level error, with their metadata.
  var errors: [String] { lines.withLock { $0.filter { $0.level >= .error }.map(\.text) } }

  static func make() -> (Logger, RecordedLog) {
    let recorded = RecordedLog()
    return (Logger(label: "test.client") { _ in Handler(recorded: recorded) }, recorded)
  }

  private struct Handler: LogHandler {
    let recorded: RecordedLog
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.debug

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      recorded.lines.withLock { $0.append((event.level, "\(event.message) \(event.metadata.map { "\($0)" } ?? "")")) }
    }
  }
}
