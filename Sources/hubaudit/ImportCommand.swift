import ArgumentParser
import AuditClient
import AuditSchema
import Foundation

/// `hubaudit import`: AG2's audit.jsonl into the log, every line of it.
struct ImportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Append the records of an AG2 audit.jsonl, in order.",
    discussion: """
      A line that holds no JSON object (torn, or two records glued together) is kept as a record of kind "unreadable_line" and reported on \
      standard error; `hubaudit export` gives back the same bytes. The lines are numbered under a producer's name (default: made from the \
      file's path), so that an import that was cut short, or whose file has grown, goes on where it was when it is repeated; lines that were \
      stored before are compared with the file, and an import of something else under the same name is refused.
      """)

  @OptionGroup var connection: ConnectionOptions
  @Option(help: "Name of the hub whose records they are.") var hub = "import"
  @Option(help: "Name under which the lines are numbered, at most 64 bytes.") var producer: String?
  @Argument(help: "The file, or - for standard input.") var file: String

  private static let batchEvents = 1000
  private static let batchBytes = 256 << 10

  func run() async throws {
    guard file != "-" || producer != nil else {
      throw CommandFailure(.usage, "standard input has no name to number its lines under; give --producer")
    }
    let lines = try LineReader(path: file)
    let name = producer ?? Self.producer(ofPath: file)
    let configuration = try connection.configuration(hub: hub, producer: name)
    let client = try await ConnectionOptions.reporting { try await AuditClient.connect(configuration) }
    // Lines below this number were stored by an earlier run.
    let next = client.welcome.producerNext ?? 1
    var number: UInt64 = 0
    if next > 1 { number = try await compare(lines, with: client, producer: name, next: next) }
    let compared = number
    var batch: [Event] = []
    var bytes = 0
    var unreadable: UInt64 = 0
    while let line = try lines.next() {
      number += 1
      let isRecord = !line.isUnterminated && line.bytes.withUnsafeBytes { JSONText.isObject($0) }
      if !isRecord {
        unreadable += 1
        let what = line.isUnterminated ? "has no line end (torn?)" : "holds no JSON object"
        StandardError.write("hubaudit: \(file): line \(number) (byte \(line.offset)) \(what); kept as it is, as \"unreadable_line\"\n")
      }
      batch.append(isRecord ? .custom(json: line.bytes) : .unreadableLine(line.bytes, unterminated: line.isUnterminated))
      bytes += line.bytes.count
      if batch.count >= Self.batchEvents || bytes >= Self.batchBytes {
        try await send(&batch, client, upTo: number)
        bytes = 0
      }
    }
    try await send(&batch, client, upTo: number)
    await client.close()
    print("\(number) lines, \(number - compared) appended, \(compared) stored before, \(unreadable) of the appended unreadable")
    if number == 0 { throw CommandFailure(.nothingFound) }
  }

  /// "import:" and the beginning of the SHA-256 of the file's full path.
  private static func producer(ofPath path: String) -> String {
    let full = Array(URL(filePath: path).resolvingSymlinksInPath().path.utf8)
    return "import:" + SHA256.hash(full).prefix(12).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }

  /// Reads the lines that were stored before, and finds that they are still the same.
  ///
  /// - Returns: their number.
  private func compare(_ lines: LineReader, with client: AuditClient, producer: String, next: UInt64) async throws -> UInt64 {
    var number: UInt64 = 0
    try await ConnectionOptions.reporting {
      for try await record in client.read(filter: RecordFilter(hubs: [hub])) where record.producer == producer {
        guard record.producerSequence == number + 1 else { continue }
        number += 1
        let line = try lines.next()
        let stored = try record.unreadableLine()
        let isSame =
          if let (bytes, unterminated) = stored {
            line?.bytes == bytes && line?.isUnterminated == unterminated
          } else {
            try line?.isUnterminated == false && line?.bytes == record.json()
          }
        // An erased body can be compared with nothing.
        guard isSame || record.isErased else {
          throw CommandFailure(
            .failure,
            "\(file): line \(number) is not what was imported before as producer \"\(producer)\" of hub \"\(hub)\" (sequence \(record.sequence)); "
              + "nothing was appended. If it is another file, give it a --producer of its own")
        }
      }
    }
    guard number == next - 1 else {
      throw CommandFailure(
        .failure,
        "the log holds \(number) of the \(next - 1) events of producer \"\(producer)\"; was something else appended under this name? "
          + "give another --producer")
    }
    return number
  }

  private func send(_ batch: inout [Event], _ client: AuditClient, upTo last: UInt64) async throws {
    guard !batch.isEmpty else { return }
    try await send(batch[...], client, first: last - UInt64(batch.count) + 1)
    batch.removeAll(keepingCapacity: true)
  }

  /// Sends lines, and in parts when they are refused, so that all lines before the one that is meant are stored.
  private func send(_ events: ArraySlice<Event>, _ client: AuditClient, first: UInt64) async throws {
    do throws(ClientError) {
      _ = try await client.append(Array(events), producerSequence: first)
    } catch {
      guard error.isAboutEvents, events.count > 1 else {
        throw CommandFailure(error.exitStatus, "\(file): stopped before line \(first): \(error.message)")
      }
      let half = events.count / 2
      try await send(events.prefix(half), client, first: first)
      try await send(events.dropFirst(half), client, first: first + UInt64(half))
    }
  }
}
