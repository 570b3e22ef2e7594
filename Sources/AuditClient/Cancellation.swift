import Synchronization

/// Brings together a cancellation and the id of what it cancels, whichever comes first.
final class Cancellation: Sendable {
  private let state = Mutex<(id: UInt64?, isCancelled: Bool)>((nil, false))

  /// The work has an id now.
  ///
  /// - Returns: whether it was cancelled before.
  func isFor(_ id: UInt64) -> Bool {
    state.withLock { state in
      state.id = id
      return state.isCancelled
    }
  }

  /// - Returns: the work to cancel, if it has begun.
  func cancel() -> UInt64? {
    state.withLock { state in
      state.isCancelled = true
      return state.id
    }
  }
}
