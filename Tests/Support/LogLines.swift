import Logging
import Synchronization

/// The messages that were logged.
public final class LogLines: Sendable {
  public init() {}

  private struct Handler: LogHandler {
    let lines: LogLines
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
    func log(event: LogEvent) { lines.messages.withLock { $0.append("\(event.message)") } }
  }

  private let messages = Mutex<[String]>([])

  public var logger: Logger { Logger(label: "test") { [self] _ in Handler(lines: self) } }

  public func contain(_ text: String) -> Bool { messages.withLock { $0.contains { $0.contains(text) } } }
}
