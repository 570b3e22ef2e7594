import AuditLog
import Glibc
import Synchronization

/// The files of a witness. Each is replaced atomically. Only one process at a time may use the directory.
final class WitnessDirectory: Sendable {
  /// Maximum bytes of a file; a checkpoint is far smaller.
  private static let maxFileBytes = 1 << 20

  let path: String
  private let lock: Int32
  // After a failed sync the kernel may drop the written data, and the next sync may succeed without it. So the first failure is final.
  private let failure = Mutex<WitnessError?>(nil)

  /// Creates the directory if it is missing, and locks it.
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
    // The directory itself is locked: a lock file could be deleted, which would admit a second witness.
    lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard lock >= 0 else { throw Self.error("open", path) }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      let number = errno
      close(lock)
      guard number == EWOULDBLOCK else { throw Self.error("flock", path, number) }
      throw WitnessError(.locked, "\(path) is in use by another witness; stop it, or name another directory")
    }
  }

  deinit {
    // Closing alone would leave the lock with a child process that was forked meanwhile, until it executes its program.
    flock(lock, LOCK_UN)
    close(lock)
  }

  /// The content of a file; `nil` if it does not exist.
  ///
  /// - Throws: `.unusable`; `.damaged` for a file that is too large.
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
        throw WitnessError(.damaged, "\(file) has more than \(Self.maxFileBytes) bytes, so it is not a checkpoint")
      }
    }
  }

  /// Replaces a file and returns when it is synced. After a crash the file has its old or its new content.
  ///
  /// - Throws: `.unusable`: the old content remains, and a later attempt may succeed. `.failed`: all later attempts fail until a restart.
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
      "\(error); the state of the disk is unknown, so the witness cosigns nothing more; check the disk and start the witness again")
  }
}
