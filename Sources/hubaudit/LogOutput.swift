import AuditSchema
import Foundation
import HubauditSettings
import Logging
import Synchronization

/// The server's log: one line an event on standard output, JSON unless it is a terminal.
final class LogOutput: Sendable {
  private let isJSON: Bool
  private let level: Level

  final class Level: Sendable {
    let value: Mutex<Logger.Level>
    init(_ value: Logger.Level) { self.value = Mutex(value) }
  }

  /// - Throws: `CommandFailure` for an unknown format or level.
  convenience init(settings: Settings) throws {
    try self.init(format: settings.text("log-format"), level: settings.text("log-level"))
  }

  /// - Throws: `CommandFailure` for an unknown format or level.
  init(format: String, level: String) throws {
    switch format {
    case "auto": isJSON = isatty(STDOUT_FILENO) == 0
    case "json": isJSON = true
    case "text": isJSON = false
    default: throw CommandFailure(.usage, "log-format: \"\(format)\" is not auto, json or text")
    }
    self.level = Level(try Self.level(level))
  }

  func logger(_ label: String) -> Logger {
    Logger(label: label) { [isJSON, level] _ in LineLogHandler(isJSON: isJSON, level: level) }
  }

  /// - Throws: `CommandFailure` for an unknown level; nothing changes then.
  func setLevel(_ settings: Settings) throws {
    let new = try Self.level(settings.text("log-level"))
    level.value.withLock { $0 = new }
  }

  private static func level(_ name: String) throws -> Logger.Level {
    guard let level = Logger.Level(rawValue: name) else {
      throw CommandFailure(.usage, "log-level: \"\(name)\" is not trace, debug, info, notice, warning, error or critical")
    }
    return level
  }
}

private struct LineLogHandler: LogHandler {
  let isJSON: Bool
  let level: LogOutput.Level
  var metadata: Logger.Metadata = [:]

  var logLevel: Logger.Level {
    get { level.value.withLock { $0 } }
    set { level.value.withLock { $0 = newValue } }
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let fields = (event.metadata ?? [:]).merging(metadata) { event, _ in event }.sorted { $0.key < $1.key }
    let time = UTCTime.rfc3339(UTCTime.now())
    var line: String
    if isJSON {
      line = "{\"time\":\"\(time)\",\"level\":\"\(event.level)\",\"message\":\(Self.quoted("\(event.message)"))"
      for (key, value) in fields { line += ",\(Self.quoted(key)):\(Self.quoted("\(value)"))" }
      line += "}\n"
    } else {
      line = "\(time) \(event.level) \(TerminalText.escaped("\(event.message)"))"
      for (key, value) in fields { line += " \(TerminalText.quotedValue(key))=\(TerminalText.quotedValue("\(value)"))" }
      line += "\n"
    }
    // One write for each line, so that lines of several threads do not mix.
    // The server goes on if a line cannot be written.
    try? FileHandle.standardOutput.write(contentsOf: Data(line.utf8))
  }

  private static func quoted(_ text: String) -> String {
    var object = ObjectWriter()
    object.literal("", text)
    // The text out of {"": "text"}.
    return String(decoding: object.finished().dropFirst(5).dropLast(), as: UTF8.self)
  }
}
