import AuditLog
import Dispatch
import Glibc

/// Free bytes on the file system of a directory, asked for when they are wanted.
///
/// statvfs(2) does not return while the file system hangs, so it runs on a thread of its own, one call at a time. A caller waits for
/// `patience` at most: health and metrics share its event loop.
final class DiskRoom: Sendable {
  private enum State {
    case idle
    case asking
    case answered(UInt64?)
  }

  private static let patience = Duration.milliseconds(100)

  private let path: String
  private let queue = DispatchQueue(label: "hubaudit-disk-room")
  private let state = ConditionLock(State.idle)

  init(path: String) { self.path = path }

  /// - Returns: bytes that a process without privileges may use; `nil` when the file system gave an error or no answer.
  func current() -> UInt64? {
    let isNew = state.withLock { state in
      if case .asking = state { return false }
      state = .asking
      return true
    }
    if isNew {
      queue.async { [state, path] in
        let free = Self.freeBytes(path)
        state.change { $0 = .answered(free) }
      }
    }
    let deadline = MonotonicTime.now.advanced(by: Self.patience)
    return state.wait { state in
      if case .answered(let free) = state { return .found(free) }
      return MonotonicTime.now.nanoseconds < deadline.nanoseconds ? .waitUntil(deadline) : .found(nil)
    }
  }

  private static func freeBytes(_ path: String) -> UInt64? {
    var room = statvfs()
    guard statvfs(path, &room) == 0 else { return nil }
    return UInt64(room.f_bavail) * UInt64(room.f_frsize)
  }
}
