import ArgumentParser
import AuditLog
import AuditSchema
import Foundation
import SegmentStore

/// `hubaudit inspect`: what is in a data directory, without a server.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Look at every record of a data directory, offline: read-only, without the lock.",
    discussion: """
      Checks the checksum, sequence and commit of every record. Exit 4 when something is not as it should be.

      The newest segment of a log that a server has open goes on with zeros, which are room for commits: no protobuf tool reads past them. --raw \
      writes it up to its last whole commit instead, as one encoded hubaudit.v1.Segment:

        hubaudit inspect --raw DIR | protoc --decode hubaudit.v1.Segment hubaudit/v1/record.proto
      """)

  @Argument(help: "The data directory, or a copy of one.", completion: .directory) var directory: String
  @Option(name: [.short, .long], help: "table (default on a terminal) or json (one object a line).") var output: OutputFormat?

  @Flag(help: "Write the bytes of one segment, up to its last whole commit, and look at nothing else.") var raw = false
  @Option(help: "With --raw: the segment that holds the record of this sequence. Default: the newest.") var holding: UInt64?

  func run() throws {
    try DirectoryArgument.check(directory, "the data directory")
    guard !raw else { return try writeRaw() }
    guard holding == nil else { throw CommandFailure(.usage, "--holding goes with --raw") }
    let inspection: LogInspection
    do {
      inspection = try LogInspection(directory: directory)
    } catch {
      throw CommandFailure(error.code == .damaged ? .verificationFailed : .failure, "\(error)")
    }
    let isTable = (output ?? (isatty(STDOUT_FILENO) == 1 ? .table : .json)) == .table
    for segment in inspection.segments { print(isTable ? row(segment) : json(segment)) }
    for problem in inspection.problems {
      let place = problem.offset.map { " at offset \($0)" } ?? ""
      StandardError.write("hubaudit: \(problem.path)\(place): \(problem.sentence)\n")
    }
    if isTable {
      let records = inspection.segments.reduce(0) { $0 + $1.records }
      print(
        "\(counted(records, "record")) in \(counted(inspection.segments.count, "segment")), \(counted(inspection.problems.count, "problem"))"
      )
    }
    if !inspection.problems.isEmpty { throw CommandFailure(.verificationFailed) }
  }

  private func writeRaw() throws {
    guard isatty(STDOUT_FILENO) == 0 else {
      throw CommandFailure(.usage, "--raw writes bytes that are no text; send them to a file or a pipe")
    }
    do {
      try LogInspection.wholeCommits(directory: directory, holding: holding) { try FileHandle.standardOutput.write(contentsOf: Data($0)) }
    } catch let error as StoreError {
      throw CommandFailure(error.code == .damaged ? .verificationFailed : .failure, "\(error)")
    }
  }

  private func row(_ segment: LogInspection.Segment) -> String {
    let times = [segment.firstReceivedAt, segment.lastReceivedAt].map { $0.map { UTCTime.rfc3339($0) } ?? "-" }
    return
      "\(segment.path)  \(counted(segment.records, "record")) from \(segment.firstSequence), \(counted(segment.commits, "commit")), \(counted(segment.bytes, "byte")), "
      + "received \(times[0]) to \(times[1])"
  }

  private func json(_ segment: LogInspection.Segment) -> String {
    var object = ObjectWriter()
    object.token("bytes", "\(segment.bytes)")
    object.token("commits", "\(segment.commits)")
    object.optional("first_received_at", segment.firstReceivedAt.map { UTCTime.rfc3339($0) })
    object.token("first_sequence", "\(segment.firstSequence)")
    object.optional("last_received_at", segment.lastReceivedAt.map { UTCTime.rfc3339($0) })
    object.token("loose_bytes", "\(segment.looseBytes)")
    object.literal("path", segment.path)
    object.token("records", "\(segment.records)")
    return String(decoding: object.finished(), as: UTF8.self)
  }
}
