import AuditLog

/// Decides whether a data directory holds a log that was ever used. Read-only and without the lock.
package enum LogBeginning {
  /// Why the log is not new: it has records, or it was signed.
  ///
  /// - Parameter checkpoints: directory of the signed checkpoints; `nil`: `checkpoints` in the data directory.
  /// - Returns: a clause that names what was found; `nil` for a new log and for a missing directory.
  /// - Throws: the error that prevents the check.
  package static func reasonNotNew(
    directory path: String, checkpoints: String?, fileSystem: any FileSystem = PosixFileSystem(followsLinks: true)
  ) throws(StoreError) -> String? {
    let directory = DataDirectory(root: path, fileSystem: fileSystem)
    let checkpoints = checkpoints ?? directory.checkpoints
    let names = try present { () throws(FileSystemError) in try fileSystem.list(checkpoints) } ?? []
    if names.contains(where: { name in CheckpointFiles.Kind.allCases.contains { name.hasSuffix($0.rawValue) } }) {
      return "\(checkpoints) holds signed checkpoints"
    }
    if let text = try present({ () throws(FileSystemError) in try directory.read(directory.identity, limitBytes: 64 << 10) }),
      let origin = try LogIdentity(encoded: text, path: directory.identity).origin
    {
      return "\(directory.identity) says that the log is signed, with the origin \(origin)"
    }
    guard try present({ () throws(FileSystemError) in try fileSystem.list(directory.segments) }) != nil else { return nil }
    let firstSequences = try directory.listSegments().firstSequences
    guard !firstSequences.isEmpty else { return nil }
    let records = "\(directory.segments) holds records"
    guard firstSequences == [0] else { return records }
    let file = try reading { () throws(FileSystemError) in try fileSystem.open(directory.segment(0), .read) }
    let logID = try OpenSegment.logID(of: file, path: directory.segment(0))
    let segment = try OpenSegment(file: file, path: directory.segment(0), firstSequence: 0, logID: logID)
    // A torn end counts as a record here: bytes that a start would truncate are still a sign of use.
    let last = try reading { () throws(FileSystemError) in try file.lastNonZero(from: segment.headerEnd, to: try file.size()) }
    return last == nil ? nil : records
  }

  /// Runs a read; `nil` when the file or directory is missing.
  private static func present<Value>(_ look: () throws(FileSystemError) -> Value) throws(StoreError) -> Value? {
    do throws(FileSystemError) { return try look() } catch {
      if error.isMissing { return nil }
      throw .unusable(error, "check that the server's user may read it")
    }
  }
}
