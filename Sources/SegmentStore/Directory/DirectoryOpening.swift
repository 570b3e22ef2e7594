import AuditLog
import AuditSchema
import Glibc

/// Opening before recovery: creates the directories, takes the locks, and reads or creates the identity of the log.
extension DataDirectory {
  /// Creates missing directories and locks the data directory. The lock lasts as long as the returned file is open. It is on the directory
  /// itself, which cannot be removed from under the lock, as a lock file could be.
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
    let file = try openAndLock(root, holder: holderName)
    try preparing { () throws(FileSystemError) in
      for path in [segments, indexes, torn, tree, erasures] { _ = try fileSystem.createDirectory(path) }
      try fileSystem.syncDirectory(root)
    }
    for path in [segments, indexes, torn, tree, erasures] { try checkOwnership(path, try attributes(path, followsLinks: false)) }
    noteHolder()
    return file
  }

  /// Opens and locks a directory that only this user may write to.
  ///
  /// - Parameter holder: name of the process that holds the lock, for the error sentence.
  /// - Throws: `.locked` when another process holds the lock.
  func openAndLock(_ path: String, holder: @autoclosure () -> String) throws(StoreError) -> any File {
    let file = try preparing { () throws(FileSystemError) in try fileSystem.open(path, .directory) }
    guard try preparing({ () throws(FileSystemError) in try file.lock() }) else {
      throw StoreError(
        .locked,
        "\(path) is in use by \(holder()), and two servers would write over each other's files; stop that one, or name another directory",
        path: path)
    }
    let held = try preparing { () throws(FileSystemError) in try file.attributes() }
    guard try attributes(path, followsLinks: true).isSameFile(as: held) else {
      throw StoreError(.unusable, "\(path) was replaced while it was opened; start again", path: path)
    }
    try checkOwnership(path, held)
    return file
  }

  /// Creates the checkpoint directory if it is missing, and locks it: the server of another log may use it too.
  func lockCheckpoints(_ path: String) throws(StoreError) -> any File {
    try preparing { () throws(FileSystemError) in
      if try fileSystem.createDirectory(path) { try fileSystem.syncDirectory(Self.parent(of: path)) }
    }
    if path == checkpoints { try checkOwnership(path, try attributes(path, followsLinks: false)) }
    return try openAndLock(path, holder: "another server")
  }

  /// Another user with write access could plant links and files in the directory.
  private func checkOwnership(_ path: String, _ found: FileAttributes) throws(StoreError) {
    guard found.kind == .directory else {
      throw StoreError(
        .unusable,
        "\(path) is \(found.kind == .link ? "a link" : "not a directory"), and within a data directory no link is followed; put the "
          + "directory itself there, or mount it", path: path)
    }
    guard found.owner == geteuid() else {
      throw StoreError(
        .unusable,
        "\(path) belongs to user \(found.owner), and the server runs as user \(geteuid()); run it as the directory's owner, or change the "
          + "owner (chown -R \(geteuid()) \(path))",
        path: path)
    }
    guard found.mode & 0o022 == 0 else {
      throw StoreError(
        .unusable,
        "users other than its owner may write to \(path) (mode \(String(found.mode, radix: 8))); run chmod go-w \(path), or name a directory within "
          + "it, which the server makes for itself",
        path: path)
    }
  }

  private func attributes(_ path: String, followsLinks: Bool) throws(StoreError) -> FileAttributes {
    try preparing { () throws(FileSystemError) in try fileSystem.attributes(path, followsLinks: followsLinks) }
  }

  /// Writes the process id for the next process that is refused. Errors are ignored: a full disk must not prevent a start.
  private func noteHolder() {
    do throws(FileSystemError) {
      let file = try fileSystem.open(holder, .createOrOpen)
      try file.truncate(to: 0)
      try file.writeFully(Array("\(getpid())\n".utf8), at: 0)
    } catch {}
  }

  private var holderName: String {
    let digits = (try? read(holder, limitBytes: 32)).map { String(decoding: $0.filter { 48...57 ~= $0 }, as: UTF8.self) } ?? ""
    return digits.isEmpty ? "another process" : "process \(digits)"
  }

  /// The parent directory of `path`.
  static func parent(of path: String) -> String {
    let path = path.last == "/" ? path.dropLast() : path[...]
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Reads the identity of the log; creates a log where there is none.
  func openIdentity(_ configuration: SegmentStoreConfiguration) throws(StoreError) -> LogIdentity {
    let text: [UInt8]?
    do throws(FileSystemError) { text = try read(identity, limitBytes: 64 << 10) } catch {
      guard error.isMissing else { throw .unusable(error, "check the disk, and that the server's user may read the data directory") }
      text = nil
    }
    guard let text else { return try createLog(configuration) }
    return try LogIdentity(encoded: text, path: identity)
  }

  /// Creates the first segment, then `log.json`. So a directory with `log.json` had a segment.
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

  /// Syncs the name of a directory that holds nothing yet: a start that was killed may have created it without the sync. If the parent
  /// cannot be read, somebody else created the directory.
  func syncParent(of path: String) throws(StoreError) {
    try preparing { () throws(FileSystemError) in
      do throws(FileSystemError) { try fileSystem.syncDirectory(Self.parent(of: path)) } catch {
        guard error.number == EACCES else { throw error }
      }
    }
  }

  /// Removes a first segment without records when `log.json` is missing: the very first start was interrupted. Anything else is a log that
  /// lost its `log.json`.
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
