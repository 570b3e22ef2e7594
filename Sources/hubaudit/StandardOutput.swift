@preconcurrency import Glibc
import Synchronization

/// Standard output, with an end when nobody reads it any more.
enum StandardOutput {
  // Assigned once by the C library, which locks it for every call.
  private static var file: UnsafeMutablePointer<FILE> { stdout }

  static let isTerminal = isatty(STDOUT_FILENO) == 1

  /// What the system said when writing failed first; 0 before that. A later errno tells of something else.
  private static let failedWith = Atomic<Int32>(0)

  /// Writes bytes as they are.
  ///
  /// - Throws: `CommandFailure`, without words and with status 0 when the reader went away: it has what it wanted.
  static func write(_ bytes: [UInt8], flush: Bool = false) throws {
    try bytes.withUnsafeBufferPointer { try write($0, flush: flush) }
  }

  static func write(_ bytes: UnsafeBufferPointer<UInt8>, flush: Bool = false) throws {
    if !put(bytes) { throw failure }
    if flush { try self.flush() }
  }

  /// For much output of which no piece is waited for. To be called before anything is printed; a terminal keeps its lines.
  static func useLargeBuffer() {
    guard !isTerminal else { return }
    // The C library's for good.
    setvbuf(file, .allocate(capacity: largeBufferBytes), _IOFBF, largeBufferBytes)
  }

  private static let largeBufferBytes = 64 << 10

  /// Writes lines for people. Nothing in them has power over a terminal.
  static func print(_ text: String, terminator: String) {
    var text = (isTerminal ? TerminalText.escapedLines(text) : text) + terminator
    _ = text.withUTF8 { put($0) }
  }

  /// Writes one line of JSON. What has power over a terminal becomes an escape of JSON there.
  static func json(_ text: [UInt8], flush: Bool = false) throws {
    try write((isTerminal ? TerminalText.escapedJSON(text) : text) + [UInt8(ascii: "\n")], flush: flush)
  }

  /// What `print` and `write` have left in the buffer goes out, or it is known that it did not.
  static func flush() throws {
    if fflush(file) != 0 { note(errno) }
    guard failedWith.load(ordering: .relaxed) == 0 else { throw failure }
  }

  private static func put(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    let written = fwrite(bytes.baseAddress, 1, bytes.count, file)
    if written != bytes.count { note(errno) }
    return written == bytes.count
  }

  private static func note(_ number: Int32) { _ = failedWith.compareExchange(expected: 0, desired: number, ordering: .relaxed) }

  private static var failure: CommandFailure {
    let number = failedWith.load(ordering: .relaxed)
    guard number != EPIPE else { return CommandFailure(.success) }
    return CommandFailure(.failure, "cannot write to standard output: \(String(cString: strerror(number)))")
  }
}

/// In place of Swift's own: everything that this command prints goes through `StandardOutput`.
func print(_ value: Any, terminator: String = "\n") { StandardOutput.print("\(value)", terminator: terminator) }
