import ArgumentParser
import AuditClient
import AuditSchema
import Foundation
import MerkleTree

/// `hubaudit import`: takes every line of AG2's audit.jsonl into the log.
struct ImportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Append the records of an AG2 audit.jsonl, in order.",
    discussion: """
      A line that holds no JSON object (two records glued together), or that the log takes as no record, is kept as a record of kind \
      "unreadable_line" and reported on standard error; one that is larger than a record may be is kept in parts. `hubaudit export` gives back \
      the same bytes. With --skip-too-large such a line is passed over: a record of kind "skipped_line" says how long it was and what its SHA-256 \
      is. A last line without a line end waits until the file has grown and the import is repeated; --keep-unfinished takes it as it is.

      The lines are numbered under a producer's name (default: made from the file's path), so that an import that was cut short, or whose file \
      has grown, goes on where it was when it is repeated; what was stored before is compared with the file, and an import of something else \
      under the same name is refused.
      """)

  @OptionGroup var connection: ConnectionOptions
  @Option(help: "Name of the hub whose records they are.") var hub = "import"
  @Option(help: "Name under which the lines are numbered, at most 64 bytes.") var producer: String?
  @Flag(help: "Pass over lines that are larger than a record may be; their SHA-256 is kept.") var skipTooLarge = false
  @Flag(help: "Take a last line that has no line end as it is.") var keepUnfinished = false
  @Argument(help: "The file, or - for standard input.", completion: .file()) var file: String

  func run() async throws {
    guard file != "-" || producer != nil else {
      throw CommandFailure(.usage, "standard input has no name to number its lines under; give --producer")
    }
    let source = ImportSource(try LineReader(path: file))
    let name = producer ?? Self.producer(ofPath: file)
    let client = try await ConnectionOptions.connect(try connection.configuration(hub: hub, producer: name))
    // Earlier runs stored the events below this number.
    let next = client.welcome.producerNext ?? 1
    if next > 1 { try await compare(source, with: client, producer: name, next: next) }
    let compared = source.isWithinLine ? source.lines - 1 : source.lines
    var delivery = ImportDelivery(client: client, file: file, skipsTooLarge: skipTooLarge, next: next)
    var waits = false
    while let line = try source.next() {
      if line.isUnterminated, !keepUnfinished {
        waits = true
        report(line, "has no line end yet and waits; repeat the import when it has one, or give --keep-unfinished")
        continue
      }
      try await delivery.add(line)
    }
    try await delivery.finish()
    await client.close()
    var parts = [
      "\(counted(source.lines, "line"))", "\(source.lines - compared - (waits ? 1 : 0)) appended", "\(compared) stored before",
      "\(delivery.unreadable) of the appended unreadable",
    ]
    if delivery.skipped > 0 { parts.append("\(delivery.skipped) passed over") }
    if waits { parts.append("1 waits") }
    print(parts.joined(separator: ", "))
    if source.lines == 0 { throw CommandFailure(.nothingFound) }
  }

  private func report(_ line: ImportSource.Line, _ what: String) {
    StandardError.write("hubaudit: \(file): line \(line.number) (byte \(line.offset)) \(what)\n")
  }

  /// "import:" and the beginning of the SHA-256 of the file's full path.
  private static func producer(ofPath path: String) -> String {
    let full = Array(URL(filePath: path).resolvingSymlinksInPath().path.utf8)
    return "import:" + Hex.encode(SHA256.hash(full).prefix(12))
  }

  /// Compares the records of earlier runs with the beginning of the file.
  private func compare(_ source: ImportSource, with client: AuditClient, producer: String, next: UInt64) async throws {
    var number: UInt64 = 0
    try await ConnectionOptions.reporting {
      for try await record in client.read(filter: RecordFilter(hubs: [hub])) where record.producer == producer {
        guard record.producerSequence == number + 1 else { continue }
        number += 1
        guard try source.take(record) else {
          throw CommandFailure(
            .failure,
            "\(file): line \(source.lines) is not what was imported before as producer \"\(producer)\" of hub \"\(hub)\" (sequence "
              + "\(record.sequence)); nothing was appended. If it is another file, give it a --producer of its own")
        }
      }
    }
    guard number == next - 1 else {
      throw CommandFailure(
        .failure,
        "the log holds \(number) of the \(counted(next - 1, "event")) of producer \"\(producer)\"; was something else appended under this name? "
          + "give another --producer")
    }
  }
}
