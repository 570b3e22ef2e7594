import Glibc

/// A call that the operating system refused.
package struct FileSystemError: Error, Sendable, CustomStringConvertible {
  /// The name of the call, as in its manual page.
  package var call: String
  package var path: String
  /// The value of `errno`.
  package var number: Int32

  package init(_ call: String, _ path: String, _ number: Int32) {
    self.call = call
    self.path = path
    self.number = number
  }

  /// Whether the disk, or what this user may have of it, is used up.
  package var isNoRoom: Bool { number == ENOSPC || number == EDQUOT }
  /// Whether the process or the system has no file descriptor or memory left for the call: later it may.
  package var isNoResources: Bool { number == EMFILE || number == ENFILE || number == ENOMEM }
  package var isMissing: Bool { number == ENOENT }
  /// Whether the path leads nowhere, as opposed to a disk that cannot say where.
  package var isAbsence: Bool { number == ENOENT || number == ENOTDIR || number == ELOOP || number == ESTALE }
  package var isExisting: Bool { number == EEXIST }

  package var description: String {
    // ELOOP of an open is a link where none is followed (open(2), O_NOFOLLOW).
    let reason =
      call == "open" && number == ELOOP
      ? "this is a link, and a data directory's own files are never links" : String(cString: strerror(number))
    return "\(call) of \(path): \(reason)"
  }
}
