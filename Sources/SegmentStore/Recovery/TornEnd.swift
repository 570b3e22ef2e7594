import AuditLog
import FoundationEssentials

/// The bytes that recovery truncated from the newest segment, and where their copy is.
struct TornEnd: Sendable {
  var bytes: UInt64
  var path: String

  /// Content of the `.json` report beside the copy.
  private struct Report: Codable {
    var segment: String
    var offset: UInt64
    var bytes: UInt64
    var next_sequence: UInt64
    var reason: String
    var cut_at: String
  }

  /// Copies `start..<end` to a new file in `torn/` and syncs it, then truncates the segment at `start`.
  static func cut(
    _ file: any File, path: String, from start: UInt64, to end: UInt64, firstSequence: UInt64, reason: String, nextSequence: UInt64,
    directory: DataDirectory
  ) throws(StoreError) -> TornEnd {
    let now = Date()
    let report = Report(
      segment: path, offset: start, bytes: end - start, next_sequence: nextSequence, reason: reason, cut_at: now.ISO8601Format())
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    // A structure of numbers and strings always has a JSON form.
    let reportText = Array(try! encoder.encode(report)) + [UInt8(ascii: "\n")]
    let stem = "\(directory.torn)/\(DataDirectory.digits(firstSequence))-\(start)-\(Int(now.timeIntervalSince1970))"
    let kept = try create(stem, directory.fileSystem)
    try preparing { () throws(FileSystemError) in
      var offset = start
      while offset < end {
        let part = try file.readBytes(at: offset, count: Int(min(1 << 20, end - offset)))
        try kept.file.writeFully(part, at: offset - start)
        offset += UInt64(part.count)
        if part.isEmpty { break }
      }
      try kept.file.sync()
      let reportFile = try directory.fileSystem.open(kept.stem + ".json", .createOrEmpty)
      try reportFile.writeFully(reportText, at: 0)
      try reportFile.sync()
      try directory.fileSystem.syncDirectory(directory.torn)
      try file.truncate(to: start)
      try file.sync()
    }
    return TornEnd(bytes: end - start, path: kept.stem + ".bin")
  }

  /// The next sequence after the truncation, from the report; `nil` without a readable report.
  static func nextSequence(ofReportBeside path: String, _ directory: DataDirectory) -> UInt64? {
    let report = try? directory.read(String(path.dropLast(4)) + ".json", limitBytes: 64 << 10)
    return report.flatMap { try? JSONDecoder().decode(Report.self, from: Data($0)) }?.next_sequence
  }

  /// Adds a number when the name exists: two truncations at one offset within one second.
  private static func create(_ stem: String, _ fileSystem: any FileSystem) throws(StoreError) -> (file: any File, stem: String) {
    var number = 1
    while true {
      let name = number == 1 ? stem : "\(stem)-\(number)"
      do throws(FileSystemError) { return (try fileSystem.open(name + ".bin", .create), name) } catch {
        guard error.isExisting, number < 100 else {
          throw .unusable(error, "free space on this disk and check that the server's user may write to the data directory")
        }
      }
      number += 1
    }
  }
}
