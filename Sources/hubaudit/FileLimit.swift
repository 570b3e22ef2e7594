import Foundation
import Glibc

/// Files that the process may open. What cannot do without them ends in a trap within the event loops; here it ends with a sentence, before they are
/// made.
enum FileLimit {
  /// What a client holds besides its event loops: its connection, signals, what it reads and writes, and what the system opens for a moment.
  static let client = 16
  /// What a server holds besides its event loops: its log, what it listens at, and a few connections.
  static let server = 32
  /// What one event loop holds.
  static let eventLoop = 3

  /// Lets the process have as many files as it may, and finds that it can have `count` more than it has now.
  ///
  /// - Throws: `CommandFailure` that names the limit.
  static func require(_ count: Int) throws {
    let limit = raise()
    var taken: [Int32] = []
    defer { for descriptor in taken { close(descriptor) } }
    // A library that is loaded holds none, so there is always one to copy.
    let source = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if source >= 0 { taken.append(source) }
    while source >= 0, taken.count < count {
      let copy = fcntl(source, F_DUPFD_CLOEXEC, 0)
      if copy < 0 { break }
      taken.append(copy)
    }
    guard taken.count >= count else {
      throw CommandFailure(
        .failure, "the process may open \(limit) files at a time and needs \(count) more than it has now; raise the limit (ulimit -n)")
    }
  }

  /// - Returns: the limit that is now in force.
  @discardableResult
  static func raise() -> Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return .max }
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return Int(clamping: limit.rlim_max)
  }
}
