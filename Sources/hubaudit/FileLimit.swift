import Foundation
import Glibc

/// Checks the limit of open files (`ulimit -n`) before event loops are made: these would trap without files. A limit that is too low gives a
/// clear error here.
enum FileLimit {
  /// Files of a client besides its event loops: connection, signals, input, output, and some for the system.
  static let client = 16
  /// Files of a server besides its event loops: the log, listeners, and a few connections.
  static let server = 32
  /// Files of one event loop.
  static let eventLoop = 3

  /// Raises the soft limit to the hard limit, and checks that `count` more files can be opened.
  ///
  /// No file is opened for that: while this took the last one, another thread (that of the signals) would trap for want of it.
  ///
  /// - Throws: `CommandFailure` that names the limit.
  static func require(_ count: Int) throws {
    let limit = raise()
    var free = 0
    var descriptor: Int32 = 0
    while free < count, descriptor < limit {
      if fcntl(descriptor, F_GETFD) < 0 { free += 1 }
      descriptor += 1
    }
    guard free >= count else {
      throw CommandFailure(
        .failure, "the process may open \(limit) files at a time and needs \(count) more than it has now; raise the limit (ulimit -n)")
    }
  }

  /// - Returns: the limit in force.
  @discardableResult
  static func raise() -> Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return .max }
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return Int(clamping: limit.rlim_max)
  }
}
