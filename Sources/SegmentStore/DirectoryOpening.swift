import AuditLog
import AuditSchema
import Glibc

/// What opening does before recovery: makes the directories, takes the lock, and learns or decides which log this is.
extension DataDirectory {
  /// Makes what is missing of the directory and takes its lock. The lock lasts as long as the returned file is held.
  func prepare() throws(StoreError) -> any File {
    let fileSystem = fileSystem
    do throws(FileSystemError) {
      if try fileSystem.createDirectory(root) { try fileSystem.syncDirectory(Self.parent(of: root)) }
    } catch {
      throw .unusable(
        error,
        error.isMissing
          ? "make the directory above it first"
          : error.isNoRoom
            ? "free space on this disk and start again" : "check the disk, or name a directory that the server's user may write to")
    }
    let file = try preparing { () throws(FileSystemError) in try fileSystem.open(lock, .createOrOpen) }
    guard try preparing({ () throws(FileSystemError) in try file.lock() }) else {
      let holder = (try? file.readBytes(at: 0, count: 32)).map { String(decoding: $0.filter { 48...57 ~= $0 }, as: UTF8.self) } ?? ""
      throw StoreError(
        .locked,
        "\(root) is in use by \(holder.isEmpty ? "another process" : "process \(holder)"), which holds \(lock); "
          + "stop it, or name another data directory",
        path: lock)
    }
    try preparing { () throws(FileSystemError) in
      try file.truncate(to: 0)
      try file.writeFully(Array("\(getpid())\n".utf8), at: 0)
      for path in [segments, indexes, torn, tree, erasures] { _ = try fileSystem.createDirectory(path) }
      try fileSystem.syncDirectory(root)
    }
    return file
  }

  /// The directory that `path` lies in.
  static func parent(of path: String) -> String {
    let path = path.last == "/" ? path.dropLast() : path[...]
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Which log this is; a new one where there is none.
  func openIdentity(_ configuration: SegmentStoreConfiguration) throws(StoreError) -> LogIdentity {
    let text: [UInt8]?
    do throws(FileSystemError) { text = try read(identity, limitBytes: 64 << 10) } catch {
      guard error.isMissing else { throw .unusable(error, "check the disk, and that the server's user may read the data directory") }
      text = nil
    }
    guard let text else { return try createLog(configuration) }
    return try LogIdentity(encoded: text, path: identity)
  }

  /// Makes the first segment and then `log.json`: a directory with the latter has had the former.
  private func createLog(_ configuration: SegmentStoreConfiguration) throws(StoreError) -> LogIdentity {
    try removeInterruptedStart()
    try syncParent(of: root)
    let identity = try LogIdentity(origin: configuration.origin)
    let header = SegmentHeader(
      firstSequence: 0, logID: identity.logID, nonce: try randomBytes(16), previousReceivedAt: 0, previousBytes: 0, state: [], tree: [])
    do throws(DurableFileError) {
      _ = try createDurably(segment(0), header.encoded())
      _ = try createDurably(self.identity, identity.encoded())
    } catch { throw .unusable(error.cause, "check the disk, and that the server's user may write to the data directory") }
    return identity
  }

  /// For a directory in which nothing is kept yet: a start that was killed may have made it, and not synced its name. Where the directory
  /// above it may not be read, somebody else has made it.
  func syncParent(of path: String) throws(StoreError) {
    try preparing { () throws(FileSystemError) in
      do throws(FileSystemError) { try fileSystem.syncDirectory(Self.parent(of: path)) } catch {
        guard error.number == EACCES else { throw error }
      }
    }
  }

  /// A first segment without a record, and no `log.json`: the very first start was interrupted. Anything else is a log that lost it.
  private func removeInterruptedStart() throws(StoreError) {
    let (firstSequences, unfinished) = try listSegments()
    for path in unfinished { try preparing { () throws(FileSystemError) in try fileSystem.remove(path) } }
    guard !firstSequences.isEmpty else { return }
    let path = segment(0)
    let isEmpty = try reading { () throws(FileSystemError) in
      guard firstSequences == [0] else { return false }
      let bytes = try read(path, limitBytes: 4096)
      return bytes.withUnsafeBytes { SegmentHeader(encoded: $0) } != nil
    }
    guard isEmpty else {
      throw StoreError(
        .unusable, "\(identity) is missing, but \(segments) holds the records of a log; restore the file from a copy", path: identity)
    }
    try preparing { () throws(FileSystemError) in try fileSystem.remove(path) }
  }
}
