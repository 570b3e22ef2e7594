import Foundation
import Glibc

/// Signals as an async sequence, instead of their default actions.
///
/// A handler writes each signal into a pipe. `DispatchSourceSignal` on Linux loses about one in fifty signals that come early in a process.
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
        // Only write(2) is called here, which is async-signal-safe (signal-safety(7)).
        let interrupted = errno
        var byte = UInt8(truncatingIfNeeded: number)
        _ = write(signalPipe, &byte, 1)
        errno = interrupted
      }
    }
  }
}

/// The pipe that the handler writes to. `nonisolated(unsafe)`: set once, before the handler is installed.
nonisolated(unsafe) private var signalPipe: Int32 = -1
