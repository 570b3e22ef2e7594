import Foundation
import Glibc

/// Signals as a sequence: from here on they no longer do what they do by default.
///
/// By a handler that writes into a pipe. A `DispatchSourceSignal` on Linux loses one signal in fifty that come early in a process: its
/// handler raises the signal again in a thread that nobody asks about it.
struct Signals: Sendable {
  let received: AsyncStream<Int32>

  init(_ numbers: [Int32]) {
    let (stream, continuation) = AsyncStream<Int32>.makeStream()
    received = stream
    var ends: [Int32] = [-1, -1]
    precondition(pipe(&ends) == 0, "no pipe for signals: \(String(cString: strerror(errno)))")
    let readEnd = ends[0]
    signalPipe = ends[1]
    Thread.detachNewThread {
      var number: UInt8 = 0
      while true {
        let count = read(readEnd, &number, 1)
        if count == 1 { continuation.yield(Int32(number)) } else if count == 0 || errno != EINTR { return }
      }
    }
    for number in numbers {
      signal(number) { number in
        // Nothing is called here but write, which signal-safety(7) allows.
        let interrupted = errno
        var byte = UInt8(truncatingIfNeeded: number)
        _ = write(signalPipe, &byte, 1)
        errno = interrupted
      }
    }
  }
}

/// Where the handler writes, and all that it knows. Set before there is a handler; one `Signals` lives as long as the process.
nonisolated(unsafe) private var signalPipe: Int32 = -1
