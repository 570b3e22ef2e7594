import Glibc

/// A small file that is only ever replaced as a whole. After a crash at any moment, or a power cut, it is the old one or the new one.
///
/// The new content is written under the name with `.new` behind it, synced and renamed, and the directory is synced. Processes that replace the
/// same file at the same time take turns.
package enum WholeFile {
  /// What a name ends with until the content is on disk.
  static let unfinished = ".new"

  /// Puts `content` in the place of the file, or makes it, and returns when that would survive a power cut. A link is followed: what it names is
  /// replaced.
  ///
  /// - Parameter mode: of a new file, less the process's mask; one that is there keeps its own.
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
      // Not all file systems know owners and modes; the content is what matters.
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

  /// Makes the name of something in a directory durable.
  package static func syncDirectory(_ path: String) throws(WholeFileError) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else {
      // Who may write to a directory and not read it cannot sync it.
      if errno == EACCES { return }
      throw WholeFileError("open", path, isSettled: false)
    }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw WholeFileError("fsync", path, isSettled: false) }
  }

  /// The directory that `path` lies in.
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

  /// Opens the unfinished file when no other process is writing it.
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
      // Whoever had the lock before has given the file its name.
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
  /// Whether the old file stands for certain, and another attempt may succeed. After a failed sync it is not known what the disk holds.
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
