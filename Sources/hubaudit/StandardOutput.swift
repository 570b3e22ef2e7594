@preconcurrency import Glibc
import Synchronization

/// Standard output. Ends the command when the reader has gone away.
enum StandardOutput {
  // Assigned once by the C library, which locks it for every call.
  private static var file: UnsafeMutablePointer<FILE> { stdout }

  static let isTerminal = isatty(STDOUT_FILENO) == 1

  /// errno of the first failed write; 0 before. A later errno may have another cause.
  private static let failedWith = Atomic<Int32>(0)

  /// Writes bytes as they are.
  ///
  /// - Throws: `CommandFailure`; silent and with exit code 0 if the reader went away, because it has what it wanted.
  static func write(_ bytes: [UInt8], flush: Bool = false) throws {
    try bytes.withUnsafeBufferPointer { try write($0, flush: flush) }
  }

  static func write(_ bytes: UnsafeBufferPointer<UInt8>, flush: Bool = false) throws {
    if !put(bytes) { throw failure }
    if flush { try self.flush() }
  }

  /// Buffers output in large blocks, for much output that nobody waits for. Call it before anything is printed. On a terminal, lines stay
  /// unbuffered.
  static func useLargeBuffer() {
    guard !isTerminal else { return }
    // The C library keeps the buffer for ever.
    setvbuf(file, .allocate(capacity: largeBufferBytes), _IOFBF, largeBufferBytes)
  }

  private static let largeBufferBytes = 64 << 10

  /// Writes lines of text. On a terminal, control characters are escaped.
  static func print(_ text: String, terminator: String) {
    var text = (isTerminal ? TerminalText.escapedLines(text) : text) + terminator
    _ = text.withUTF8 { put($0) }
  }

  /// Writes one line of JSON. On a terminal, control characters become JSON escapes.
  static func json(_ text: [UInt8], flush: Bool = false) throws {
    try write((isTerminal ? TerminalText.escapedJSON(text) : text) + [UInt8(ascii: "\n")], flush: flush)
  }

  /// Writes the buffered output, or throws.
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

/// Shadows Swift's `print`: everything that this command prints goes through `StandardOutput`.
func print(_ value: Any, terminator: String = "\n") { StandardOutput.print("\(value)", terminator: terminator) }
