import Glibc
import NIOCore

/// Unix sockets with the permissions that they are to have; they never have more, also not for a moment.
enum UnixSocket {
  /// Binds a socket to `path`, and removes a socket file that is there.
  ///
  /// Linux gives the file the mode of the socket that is bound, less the process's umask (unix(7)); where the umask takes bits away, they
  /// are set afterwards.
  static func bind(_ path: String, mode: UInt32) throws -> NIOBSDSocket.Handle {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let capacity = MemoryLayout.size(ofValue: address.sun_path)
    guard path.utf8.count < capacity else {
      throw IOError(
        errnoCode: ENAMETOOLONG, reason: "the path of a Unix socket has at most \(capacity - 1) bytes, and \(path) has \(path.utf8.count)")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
    var found = stat()
    if lstat(path, &found) == 0, found.st_mode & S_IFMT == S_IFSOCK { unlink(path) }
    let isBound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        fchmod(descriptor, mode) == 0 && Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
          && chmod(path, mode) == 0
      }
    }
    guard isBound else {
      let number = errno
      close(descriptor)
      throw IOError(errnoCode: number, reason: "bind of \(path)")
    }
    return descriptor
  }
}
