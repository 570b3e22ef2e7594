import Foundation
import Glibc

/// A thread that tools can tell from the others, by its name in `top -H`, `ps -L` or a debugger.
package enum NamedThread {
  /// The kernel keeps so many bytes of a thread's name.
  private static let maxNameBytes = 15

  /// Runs `body` on a new thread.
  package static func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
    precondition(name.utf8.count <= maxNameBytes, "\(name): the kernel keeps \(maxNameBytes) bytes of a thread's name")
    let thread = Thread {
      tellKernel(name)
      body()
    }
    thread.name = name
    thread.start()
  }

  /// Foundation's name of a thread that has not started, or has only just, does not reach the kernel on Linux (proc(5), comm).
  private static func tellKernel(_ name: String) {
    let descriptor = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    _ = write(descriptor, name, name.utf8.count)
    close(descriptor)
  }
}
