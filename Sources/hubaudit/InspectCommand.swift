import ArgumentParser
import AuditSchema
import Foundation
import SegmentStore

/// `hubaudit inspect`: what is in a data directory, without a server.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Look at every record of a data directory, offline: read-only, without the lock.",
    discussion: "Checks the checksum, sequence and commit of every record. Exit 4 when something is not as it should be.")

  @Argument(help: "The data directory, or a copy of one.") var directory: String
  @Option(name: [.short, .long], help: "table (default on a terminal) or json (one object a line).") var output: OutputFormat?

  func run() throws {
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
      print("\(records) records in \(inspection.segments.count) segments, \(inspection.problems.count) problems")
    }
    if !inspection.problems.isEmpty { throw CommandFailure(.verificationFailed) }
  }

  private func row(_ segment: LogInspection.Segment) -> String {
    let times = [segment.firstReceivedAt, segment.lastReceivedAt].map { $0.map { UTCTime.rfc3339($0) } ?? "-" }
    return "\(segment.path)  \(segment.records) records from \(segment.firstSequence), \(segment.commits) commits, \(segment.bytes) bytes, "
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
