@preconcurrency import Glibc

/// Standard output, with an end when nobody reads it any more.
enum StandardOutput {
  // Assigned once by the C library, which locks it for every call.
  private static var file: UnsafeMutablePointer<FILE> { stdout }

  /// - Throws: `CommandFailure`, without words when the reader went away.
  static func write(_ bytes: [UInt8], flush: Bool = false) throws {
    let written = bytes.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) }
    guard written == bytes.count else { throw failure }
    if flush { try self.flush() }
  }

  /// What `print` and `write` have left in the buffer goes out, or it is known that it did not.
  static func flush() throws {
    guard fflush(file) == 0, ferror(file) == 0 else { throw failure }
  }

  private static var failure: CommandFailure {
    CommandFailure(.failure, errno == EPIPE ? "" : "cannot write to standard output: \(String(cString: strerror(errno)))")
  }
}
