import ArgumentParser
import AuditClient
import AuditSchema
import Foundation

/// `hubaudit append`: records from flags or standard input.
struct AppendCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "append",
    abstract: "Append records and print their sequences once they are on disk.",
    discussion: """
      hubaudit append --kind deploy --set version=1.2 --set by=ada
      producer | hubaudit append --kind deploy --json -

      With --json - every line of standard input is one JSON object. --kind and --at are put into objects that have no such key.
      """)

  @OptionGroup var connection: ConnectionOptions
  @Option(help: "Name of the hub that reports.") var hub = "cli"
  @Option(help: "Kind of the records.") var kind: String?
  @Option(help: "When it happened, as it is to be recorded; default: now.") var at: String?
  @Option(help: "A JSON object, or - for one object a line on standard input.") var json: String?
  @Option(help: "key=value: a text field of the record; may be repeated.") var set: [String] = []
  @Flag(name: [.short, .long], help: "Print nothing.") var quiet = false

  private static let batchEvents = 500
  private static let batchBytes = 256 << 10

  func run() async throws {
    try checkFlags()
    let lines = json == "-" ? try LineReader(path: "-") : nil
    let source = try records(lines)
    let client = try await connection.connect(hub: hub)
    var batch: [Event] = []
    var bytes = 0
    var line = 0
    var count = 0
    var lineNumbers: [Int] = []
    var failure: CommandFailure?
    while let text = try source() {
      line += 1
      guard lines == nil || !text.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) else { continue }
      count += 1
      do {
        batch.append(.custom(json: try completed(text, line: line)))
        lineNumbers.append(line)
      } catch let error as CommandFailure {
        // Lines before the bad one are stored.
        failure = error
        break
      }
      bytes += text.count
      // Send what is there before waiting for more input.
      if batch.count >= Self.batchEvents || bytes >= Self.batchBytes || lines?.wouldWait == true {
        try await send(&batch, &lineNumbers, client)
        bytes = 0
      }
    }
    try await send(&batch, &lineNumbers, client)
    await client.close()
    try StandardOutput.flush()
    if let failure { throw failure }
    if count == 0 { throw CommandFailure(.nothingFound, "standard input held no record") }
  }

  private func send(_ batch: inout [Event], _ lineNumbers: inout [Int], _ client: AuditClient) async throws {
    guard !batch.isEmpty else { return }
    try await send(batch[...], lineNumbers[...], client)
    batch.removeAll()
    lineNumbers.removeAll()
  }

  /// Sends records. If an append is refused, sends it in parts, so that the records before the bad one are stored.
  private func send(_ events: ArraySlice<Event>, _ lineNumbers: ArraySlice<Int>, _ client: AuditClient) async throws {
    let appended: Appended
    do throws(ClientError) {
      appended = try await client.append(Array(events))
    } catch {
      let line = lineNumbers[lineNumbers.startIndex]
      guard error.isAboutEvents, events.count > 1 else {
        let what =
          error.isConnectionFailure
          ? "it is not known whether the records from line \(line) on were stored"
          : "the records from line \(line) on were not stored"
        throw CommandFailure(error.exitStatus, "\(what): \(error.message)")
      }
      let half = events.count / 2
      try await send(events.prefix(half), lineNumbers.prefix(half), client)
      return try await send(events.dropFirst(half), lineNumbers.dropFirst(half), client)
    }
    if !quiet {
      for sequence in appended.sequences { print(sequence) }
      try StandardOutput.flush()
    }
  }

  /// Returns the next object at each call.
  private func records(_ lines: LineReader?) throws -> () throws -> [UInt8]? {
    if let lines {
      guard set.isEmpty else { throw CommandFailure(.usage, "--set goes with no --json -; put the fields into the objects") }
      return { try lines.next()?.bytes }
    }
    guard json != nil || kind != nil || !set.isEmpty else {
      throw CommandFailure(
        .usage, "nothing to append; give --kind and --set key=value, --json '{…}', or --json - and objects on standard input")
    }
    if json != nil, !set.isEmpty { throw CommandFailure(.usage, "give --json or --set, not both") }
    var once: [UInt8]? = try json.map { Array($0.utf8) } ?? fields()
    return {
      defer { once = nil }
      return once
    }
  }

  /// - Throws: `CommandFailure` with usage status for flags that contradict each other, or give nothing to append.
  private func checkFlags() throws {
    if let at, TimeExpression.rfc3339(at) == nil {
      throw CommandFailure(.usage, "--at: \"\(at)\" is not a time; write 2026-11-23T10:00:00Z")
    }
    if let kind, kind.isEmpty { throw CommandFailure(.usage, "--kind is empty; leave it out for a record without a kind") }
    if let json, json != "-", kind == nil, let object = try? JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any] {
      if object.isEmpty { throw CommandFailure(.usage, "--json {} holds nothing to record; give it a field, or --kind") }
    }
    if let given = kind ?? set.last(where: { $0.hasPrefix("kind=") }).map({ String($0.dropFirst(5)) }),
      let warning = BuiltInKinds.warning(given)
    {
      StandardError.write("hubaudit: warning: \(warning)\n")
    }
  }

  private func fields() throws -> [UInt8] {
    var object: [String: String] = [:]
    for pair in set {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2, !parts[0].isEmpty else { throw CommandFailure(.usage, "--set: \"\(pair)\" is not of the form key=value") }
      let key = String(parts[0])
      if key == "kind" && kind != nil || key == "at" && at != nil {
        throw CommandFailure(.usage, "--set \(key)=… and --\(key) both say what \(key) is; give one")
      }
      guard object.updateValue(String(parts[1]), forKey: key) == nil else {
        throw CommandFailure(.usage, "--set: \"\(key)\" is given twice")
      }
    }
    return Array(try JSONEncoder.sorted.encode(object))
  }

  /// The object with the members that the flags add. Its own text stays as it is.
  private func completed(_ text: [UInt8], line: Int) throws -> [UInt8] {
    do throws(RequestError) {
      return try JSONText.completing(text, kind: kind, at: at ?? UTCTime.iso8601Microseconds(UTCTime.now()))
    } catch {
      throw CommandFailure(.failure, "line \(line) is not a JSON object: \(error.message); it and what follows was not stored")
    }
  }
}

extension ClientError {
  /// Whether one event may be the reason of a refusal, so that sending parts can find it.
  var isAboutEvents: Bool {
    switch refusal?.code {
    case .invalidText, .invalidJSON, .recordTooLarge, .limitExceeded: true
    default: false
    }
  }
}

extension JSONEncoder {
  static var sorted: JSONEncoder {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return encoder
  }
}
