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
      standard error; `hubaudit export` gives back the same bytes. An import that was cut short goes on where it was when it is repeated \
      with the same --producer (default: made from the file's name).
      """)

  @OptionGroup var connection: ConnectionOptions
  @Option(help: "Name of the hub whose records they are.") var hub = "import"
  @Option(help: "Name under which the lines are numbered, at most 64 bytes.") var producer: String?
  @Argument(help: "The file, or - for standard input.") var file: String

  private static let batchEvents = 1000
  private static let batchBytes = 256 << 10

  func run() async throws {
    let lines = try LineReader(path: file)
    let name = producer ?? "import:" + String(decoding: Array((file as NSString).lastPathComponent.utf8.suffix(57)), as: UTF8.self)
    let configuration = try connection.configuration(hub: hub, producer: name)
    let client = try await ConnectionOptions.reporting { try await AuditClient.connect(configuration) }
    // Lines below this number were stored by an earlier run.
    let next = client.welcome.producerNext ?? 1
    var number: UInt64 = 0
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
      guard number >= next else { continue }
      batch.append(isRecord ? .custom(json: line.bytes) : .unreadableLine(line.bytes, unterminated: line.isUnterminated))
      bytes += line.bytes.count
      if batch.count >= Self.batchEvents || bytes >= Self.batchBytes {
        try await send(&batch, client, upTo: number)
        bytes = 0
      }
    }
    try await send(&batch, client, upTo: number)
    await client.close()
    let stored = number - min(number, next - 1)
    print("\(number) lines, \(stored) appended, \(number - stored) stored before, \(unreadable) unreadable")
    if number == 0 { throw CommandFailure(.nothingFound) }
  }

  private func send(_ batch: inout [Event], _ client: AuditClient, upTo last: UInt64) async throws {
    guard !batch.isEmpty else { return }
    let first = last - UInt64(batch.count) + 1
    do throws(ClientError) {
      _ = try await client.append(batch, producerSequence: first)
    } catch {
      throw CommandFailure(error.exitStatus, "\(file): stopped before line \(first): \(error.message)")
    }
    batch.removeAll(keepingCapacity: true)
  }
}

/// Lines of a file as bytes, without their "\n".
final class LineReader {
  struct Line {
    var bytes: [UInt8]
    /// Of its first byte in the file.
    var offset: UInt64
    /// The file ended before the line did.
    var isUnterminated: Bool
  }

  private let input: FileHandle
  private var buffer: [UInt8] = []
  private var used = 0
  private var offset: UInt64 = 0
  private var hasEnded = false

  /// - Throws: `CommandFailure` when the file cannot be opened.
  init(path: String) throws {
    guard path != "-" else {
      input = .standardInput
      return
    }
    guard let handle = FileHandle(forReadingAtPath: path) else {
      throw CommandFailure(.failure, "cannot open \(path): \(String(cString: strerror(errno)))")
    }
    input = handle
  }

  func next() throws -> Line? {
    var searched = used
    while true {
      if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
        defer { used = end + 1 }
        return line(upTo: end, isUnterminated: false, ending: 1)
      }
      if hasEnded {
        guard used < buffer.count else { return nil }
        defer { used = buffer.count }
        return line(upTo: buffer.count, isUnterminated: true, ending: 0)
      }
      buffer.removeFirst(used)
      searched = buffer.count
      used = 0
      let more = try input.read(upToCount: 1 << 20) ?? Data()
      if more.isEmpty { hasEnded = true } else { buffer += more }
    }
  }

  private func line(upTo end: Int, isUnterminated: Bool, ending: Int) -> Line {
    defer { offset += UInt64(end - used + ending) }
    return Line(bytes: Array(buffer[used..<end]), offset: offset, isUnterminated: isUnterminated)
  }
}
