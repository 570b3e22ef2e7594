import Glibc

/// Replaces a small file as a whole: after a crash or a power cut it has the old content or the new one.
///
/// The new content is written to `NAME.new`, synced and renamed, and the directory is synced. Processes that replace the same file take turns.
package enum WholeFile {
  /// Suffix of the file that is being written.
  static let unfinished = ".new"

  /// Replaces or creates the file, and returns when that would survive a power cut. Follows a link and replaces its target.
  ///
  /// - Parameter mode: of a new file, less the umask. An existing file keeps its mode.
  package static func replace(_ path: String, with content: [UInt8], mode: mode_t = 0o644) throws(WholeFileError) {
    let path = resolved(path)
    var old = stat()
    let exists = stat(path, &old) == 0
    guard !exists || old.st_mode & S_IFMT == S_IFREG else { throw WholeFileError("replace", path, EINVAL) }
    let temporary = path + unfinished
    let descriptor = try openLocked(temporary, mode: mode)
    defer { close(descriptor) }
    do throws(WholeFileError) {
      guard ftruncate(descriptor, 0) == 0 else { throw WholeFileError("ftruncate", temporary) }
      // Some file systems have no owners and modes; the content is what matters.
      if exists { _ = fchmod(descriptor, old.st_mode & 0o777) }
      try write(content, to: descriptor, temporary)
    } catch {
      unlink(temporary)
      throw error
    }
    guard fsync(descriptor) == 0 else { throw WholeFileError("fsync", temporary, isSettled: false) }
    guard rename(temporary, path) == 0 else { throw WholeFileError("rename", temporary) }
    try syncDirectory(parent(of: path))
  }

  /// Syncs a directory, which makes the names in it durable.
  package static func syncDirectory(_ path: String) throws(WholeFileError) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else {
      // A process that may write to a directory but not read it cannot sync it.
      if errno == EACCES { return }
      throw WholeFileError("open", path, isSettled: false)
    }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw WholeFileError("fsync", path, isSettled: false) }
  }

  /// The directory of `path`.
  package static func parent(of path: String) -> String {
    let path = path.last == "/" ? path.dropLast() : path[...]
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  private static func resolved(_ path: String) -> String {
    guard let real = realpath(path, nil) else { return path }
    defer { free(real) }
    return String(cString: real)
  }

  /// Opens and locks `NAME.new`, after any other process has finished with it.
  private static func openLocked(_ path: String, mode: mode_t) throws(WholeFileError) -> Int32 {
    while true {
      let descriptor = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode)
      guard descriptor >= 0 else { throw WholeFileError("open", path) }
      while flock(descriptor, LOCK_EX) != 0 {
        let number = errno
        if number == EINTR { continue }
        close(descriptor)
        throw WholeFileError("flock", path, number)
      }
      var opened = stat()
      var named = stat()
      // The previous holder of the lock may have renamed the file.
      if fstat(descriptor, &opened) == 0, stat(path, &named) == 0, opened.st_ino == named.st_ino, opened.st_dev == named.st_dev {
        return descriptor
      }
      close(descriptor)
    }
  }

  private static func write(_ content: [UInt8], to descriptor: Int32, _ path: String) throws(WholeFileError) {
    var written = 0
    while written < content.count {
      let count = content[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw WholeFileError("write", path, count == 0 ? EIO : errno) }
      written += count
    }
  }
}

/// Why a file was not replaced.
package struct WholeFileError: Error, CustomStringConvertible {
  package var call: String
  package var path: String
  package var number: Int32
  /// Whether the old content is certainly still there, so that another attempt may succeed. After a failed sync nobody knows.
  package var isSettled: Bool

  init(_ call: String, _ path: String, _ number: Int32 = errno, isSettled: Bool = true) {
    self.call = call
    self.path = path
    self.number = number
    self.isSettled = isSettled
  }

  package var description: String {
    number == EINVAL && call == "replace" ? "\(path) is no regular file" : "\(call) of \(path): \(String(cString: strerror(number)))"
  }
}
