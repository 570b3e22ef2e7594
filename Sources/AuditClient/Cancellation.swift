import Synchronization

/// Joins a request's id with its cancellation. Either may come first; a task's cancellation handler may run before the request has an id.
final class Cancellation: Sendable {
  private let state = Mutex<(id: UInt64?, isCancelled: Bool)>((nil, false))

  /// Notes the id of the request.
  ///
  /// - Returns: whether `cancel` was called before; the caller then cancels the request.
  func started(_ id: UInt64) -> Bool {
    state.withLock { state in
      state.id = id
      return state.isCancelled
    }
  }

  /// - Returns: the id to cancel; `nil` before `started`.
  func cancel() -> UInt64? {
    state.withLock { state in
      state.isCancelled = true
      return state.id
    }
  }
}
