import Foundation

/// A thread that tools can tell from the others, by its name in `top -H`, `ps -L` or a debugger.
package enum NamedThread {
  /// The kernel keeps so many bytes of a thread's name.
  private static let maxNameBytes = 15

  /// Runs `body` on a new thread.
  package static func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
    precondition(name.utf8.count <= maxNameBytes, "\(name): the kernel keeps \(maxNameBytes) bytes of a thread's name")
    Thread.detachNewThread {
      // On Linux a name that is set before the start never reaches the kernel.
      Thread.current.name = name
      body()
    }
  }
}
