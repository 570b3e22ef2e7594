import Glibc

/// A system call that failed.
package struct FileSystemError: Error, Sendable, CustomStringConvertible {
  /// Name of the call, as in its manual page.
  package var call: String
  package var path: String
  /// Value of `errno`.
  package var number: Int32

  package init(_ call: String, _ path: String, _ number: Int32) {
    self.call = call
    self.path = path
    self.number = number
  }

  /// Whether the disk or the quota is full.
  package var isNoRoom: Bool { number == ENOSPC || number == EDQUOT }
  /// Whether file descriptors or memory ran out. A later call may succeed.
  package var isNoResources: Bool { number == EMFILE || number == ENFILE || number == ENOMEM }
  package var isMissing: Bool { number == ENOENT }
  /// Whether nothing is at the path, as opposed to a disk that failed to answer.
  package var isAbsence: Bool { number == ENOENT || number == ENOTDIR || number == ELOOP || number == ESTALE }
  package var isExisting: Bool { number == EEXIST }

  package var description: String {
    // `open` returns ELOOP for a link under O_NOFOLLOW (open(2)).
    let reason =
      call == "open" && number == ELOOP
      ? "it is a link, and files in a data directory must not be links" : String(cString: strerror(number))
    return "\(call) of \(path): \(reason)"
  }
}
