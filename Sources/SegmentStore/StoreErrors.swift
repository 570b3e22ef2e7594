import AuditLog
import Glibc

extension StoreError {
  /// Stored bytes that are not what was written.
  static func damaged(_ path: String, offset: UInt64, _ what: String) -> StoreError {
    StoreError(
      .damaged,
      "\(path) is damaged at offset \(offset): \(what); restore the file from a copy made by a backup or another server "
        + "(the store changed nothing)",
      path: path, offset: offset)
  }

  /// A system call failed before anything was written; only this request fails.
  static func unusable(_ error: FileSystemError, _ advice: String) -> StoreError {
    StoreError(.unusable, "\(error); \(advice)", path: error.path)
  }

  /// The disk is full and nothing was stored.
  static func full(_ error: FileSystemError) -> StoreError {
    StoreError(
      .full, "no room for the commit (\(error)); nothing was stored; free space on this disk (or files that are open) and append again",
      path: error.path)
  }

  /// A path no longer leads to the open file: nobody would find what is written to it.
  static func displaced(_ path: String, _ what: String) -> StoreError {
    StoreError(
      .failed,
      "appending has ended: \(path) \(what); it was removed, replaced or unmounted while the server ran. What was acknowledged may be in the "
        + "files only that process \(getpid()) still holds open (/proc/\(getpid())/fd): copy those before you stop it. Then put the directory "
        + "back in its place and start the server again",
      path: path)
  }

  /// A system call failed, so it is unknown whether the path still leads to the open file.
  static func unconfirmed(_ path: String, _ error: FileSystemError) -> StoreError {
    StoreError(
      .failed,
      "appending has ended: it is unknown whether \(path) is still what this server has open (\(error)); check the disk, then start the "
        + "server again",
      path: path)
  }

  /// Another process wrote to the segment.
  static func written(_ path: String, at offset: UInt64) -> StoreError {
    StoreError(
      .failed,
      "appending has ended: \(path) is not as this server left it at offset \(offset), so something else writes to it (a server on another "
        + "machine, a restore, an editor). Stop that, keep the files as they are, see what they hold with `hubaudit verify`, and start the server "
        + "again",
      path: path, offset: offset)
  }

  /// A write or sync failed. Final: this process appends nothing more.
  static func failed(_ error: FileSystemError) -> StoreError {
    StoreError(
      .failed,
      "appending has ended: the state of the disk is unknown (\(error)); check the disk and start the server again: "
        + "what was acknowledged is safe",
      path: error.path)
  }
}

/// Runs calls that only read. A system error becomes `.unusable`.
func reading<Value>(_ body: () throws(FileSystemError) -> Value) throws(StoreError) -> Value {
  do throws(FileSystemError) { return try body() } catch {
    throw .unusable(error, "check the disk, and that the server's user may read the data directory")
  }
}

/// Runs calls that write before the first append. A system error becomes `.unusable`.
func preparing<Value>(_ body: () throws(FileSystemError) -> Value) throws(StoreError) -> Value {
  do throws(FileSystemError) { return try body() } catch {
    throw .unusable(
      error,
      error.isNoRoom
        ? "free space on this disk and start again" : "check the disk, and that the server's user may write to the data directory")
  }
}
