import Synchronization

/// Counts open connections: for the limit, and for a shutdown that waits until none is left.
package final class OpenConnections: Sendable {
  private struct State {
    var count = 0
    var waiter: AsyncStream<Bool>.Continuation?
  }

  private let state = Mutex(State())

  package init() {}

  package var count: Int { state.withLock { $0.count } }

  /// Counts a new connection and returns the new count.
  @discardableResult
  package func opened() -> Int {
    state.withLock { state in
      state.count += 1
      return state.count
    }
  }

  package func closed() {
    state.withLock { state in
      state.count -= 1
      if state.count == 0 { state.waiter?.yield(true) }
    }
  }

  /// Waits until none is open, or until `deadline`. One caller at a time.
  ///
  /// - Returns: whether none is open.
  package func none(before deadline: ContinuousClock.Instant) async -> Bool {
    // Whichever happens first is the answer.
    let (outcomes, outcome) = AsyncStream<Bool>.makeStream(bufferingPolicy: .bufferingOldest(1))
    let isNone = state.withLock { state in
      state.waiter = outcome
      return state.count == 0
    }
    if isNone { return true }
    let timer = Task {
      try await Task.sleep(until: deadline, clock: .continuous)
      outcome.yield(false)
    }
    defer { timer.cancel() }
    for await isNone in outcomes { return isNone }
    return false
  }
}
