import Glibc

/// Lines of a file as bytes, without their "\n".
final class LineReader {
  struct Line {
    var bytes: [UInt8]
    /// Offset of its first byte in the file.
    var offset: UInt64
    /// Whether the file ends without a line end.
    var isUnterminated: Bool
  }

  private let path: String
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  private var used = 0
  private var offset: UInt64 = 0
  private var hasEnded = false

  /// - Parameter path: `-` for standard input.
  /// - Throws: `CommandFailure` when the file cannot be opened.
  init(path: String) throws {
    self.path = path == "-" ? "standard input" : path
    descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Self.failure("cannot open \(path)") }
  }

  deinit { if descriptor > STDIN_FILENO { close(descriptor) } }

  /// Whether `next` would have to wait for input.
  var wouldWait: Bool {
    if hasEnded || buffer[used...].contains(UInt8(ascii: "\n")) { return false }
    var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return Glibc.poll(&poll, 1, 0) == 0
  }

  /// The next line; `nil` at the end of the input.
  ///
  /// - Throws: `CommandFailure` when the file cannot be read.
  func next() throws -> Line? {
    var searched = used
    while true {
      if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
        defer { used = end + 1 }
        return line(upTo: end, isUnterminated: false, ending: 1)
      }
      if hasEnded {
        guard used < buffer.count else { return nil }
        defer { used = buffer.count }
        return line(upTo: buffer.count, isUnterminated: true, ending: 0)
      }
      buffer.removeFirst(used)
      searched = buffer.count
      used = 0
      try fill()
    }
  }

  private func fill() throws {
    let before = buffer.count
    buffer.append(contentsOf: repeatElement(0, count: 256 << 10))
    var count = 0
    repeat {
      count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + before, $0.count - before) }
    } while count < 0 && errno == EINTR
    let failed = count < 0
    buffer.removeLast(buffer.count - before - max(0, count))
    if failed { throw Self.failure("cannot read \(path)") }
    if count == 0 { hasEnded = true }
  }

  private func line(upTo end: Int, isUnterminated: Bool, ending: Int) -> Line {
    defer { offset += UInt64(end - used + ending) }
    return Line(bytes: Array(buffer[used..<end]), offset: offset, isUnterminated: isUnterminated)
  }

  private static func failure(_ what: String) -> CommandFailure {
    CommandFailure(.failure, "\(what): \(String(cString: strerror(errno)))")
  }
}
