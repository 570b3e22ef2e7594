import AuditLog
import Glibc
import Synchronization

/// The files of a witness: small ones, each replaced as a whole. One process at a time uses the directory.
final class WitnessDirectory: Sendable {
  /// Larger files are not read; a checkpoint is far smaller.
  private static let maxFileBytes = 1 << 20

  let path: String
  private let lock: Int32
  // A sync that fails once may have lost what was written, and succeed when it is asked again: the first failure is the last.
  private let failure = Mutex<WitnessError?>(nil)

  /// Makes the directory when it is missing, and takes its lock.
  ///
  /// - Throws: `.unusable`, `.locked`.
  init(_ path: String) throws(WitnessError) {
    self.path = path
    if mkdir(path, 0o700) == 0 {
      do throws(WholeFileError) { try WholeFile.syncDirectory(WholeFile.parent(of: path)) } catch {
        throw WitnessError(.unusable, "\(error)")
      }
    } else if errno != EEXIST {
      throw Self.error("mkdir", path)
    }
    // The directory's own lock: a file in it could be removed, and a second witness let in.
    lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard lock >= 0 else { throw Self.error("open", path) }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      let number = errno
      close(lock)
      guard number == EWOULDBLOCK else { throw Self.error("flock", path, number) }
      throw WitnessError(.locked, "\(path) is in use by another witness; stop it, or name another directory")
    }
  }

  deinit { close(lock) }

  /// The content of a file; nil when there is none.
  func read(_ name: String) throws(WitnessError) -> [UInt8]? {
    let file = "\(path)/\(name)"
    let descriptor = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw Self.error("open", file)
    }
    defer { close(descriptor) }
    var content: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw Self.error("read", file) }
      guard count > 0 else { return content }
      content += buffer[..<count]
      guard content.count <= Self.maxFileBytes else {
        throw WitnessError(.damaged, "\(file) is larger than \(Self.maxFileBytes) bytes, so it is no checkpoint")
      }
    }
  }

  /// Puts `content` in the place of a file, and returns when it would survive a power cut. After a crash the file is the old or the new one.
  ///
  /// - Throws: `.unusable`: the old one stands, and a later attempt may succeed. `.failed`: no attempt succeeds until the next start.
  func replace(_ name: String, with content: [UInt8]) throws(WitnessError) {
    try failure.withLock { (failure) throws(WitnessError) in
      if let failure { throw failure }
      do throws(WitnessError) {
        try write(content, to: "\(path)/\(name)")
      } catch {
        if error.code == .failed { failure = error }
        throw error
      }
    }
  }

  private func write(_ content: [UInt8], to file: String) throws(WitnessError) {
    do throws(WholeFileError) { try WholeFile.replace(file, with: content, mode: 0o600) } catch {
      throw error.isSettled ? WitnessError(.unusable, "\(error)") : Self.failed(error)
    }
  }

  private static func error(_ call: String, _ path: String, _ number: Int32 = errno) -> WitnessError {
    WitnessError(.unusable, "\(call) of \(path): \(String(cString: strerror(number)))")
  }

  private static func failed(_ error: WholeFileError) -> WitnessError {
    WitnessError(
      .failed,
      "\(error); nothing is cosigned any more, since it is not known what the disk holds; check the disk and start the witness again")
  }
}
