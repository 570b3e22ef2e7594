import Foundation
import Glibc

/// Checks the path of a data directory on the command line.
enum DirectoryArgument {
  /// Throws if something other than a directory is at the path. A path with nothing there passes.
  ///
  /// - Parameter option: named in the error.
  static func check(_ path: String, _ option: String) throws {
    var found = stat()
    if stat(path, &found) == 0 {
      guard found.st_mode & S_IFMT == S_IFDIR else {
        throw CommandFailure(.usage, "\(option): \(path) is \(kind(found.st_mode)), not a directory; name a directory")
      }
      return
    }
    let number = errno
    if lstat(path, &found) == 0, found.st_mode & S_IFMT == S_IFLNK {
      let target = (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) ?? "?"
      throw CommandFailure(
        .usage,
        "\(option): \(path) is a link to \(target): \(String(cString: strerror(number)).lowercased()); make that directory, or remove the link"
      )
    }
    if number == ENOTDIR {
      throw CommandFailure(.usage, "\(option): a part of \(path) is a file, not a directory")
    }
  }

  private static func kind(_ mode: mode_t) -> String {
    switch mode & S_IFMT {
    case S_IFREG: "a file"
    case S_IFSOCK: "a socket"
    case S_IFIFO: "a pipe"
    default: "a device"
    }
  }
}
