import Foundation

/// Does one piece of work at a time on a thread of its own, while the caller goes on.
final class CommitThread: Sendable {
  /// - Returns: whether it was stored.
  typealias Work = @Sendable () -> Bool

  private struct State {
    var work: Work?
    var isUnderWay = false
    var outcome: Bool?
    var isClosed = false
  }

  private let state = ConditionLock(State())

  /// - Parameter whenIdle: called on the thread after each piece of work, before `finish` can return its outcome.
  init(whenIdle: @escaping @Sendable () -> Void) {
    NamedThread.start("hubaudit-commit") { [state] in Self.run(state, whenIdle) }
  }

  /// Hands work over. Nothing may be under way, and the last outcome must have been taken.
  func begin(_ work: @escaping Work) {
    state.change { state in
      precondition(!state.isUnderWay && state.outcome == nil && !state.isClosed, "a commit was begun before the last one was finished")
      state.work = work
      state.isUnderWay = true
    }
  }

  /// Waits for the work under way.
  ///
  /// - Returns: its outcome, once; `nil` when there was none.
  func finish() -> Bool? {
    state.wait { state in state.isUnderWay ? .wait : .found(state.outcome.take()) }
  }

  /// Ends the thread when the work under way is done.
  func close() { state.change { $0.isClosed = true } }

  private static func run(_ state: ConditionLock<State>, _ whenIdle: () -> Void) {
    func next() -> Work? {
      state.wait { state in
        if let work = state.work.take() { return .found(work) }
        return state.isClosed ? .found(nil) : .wait
      }
    }
    while let work = next() {
      let outcome = work()
      whenIdle()
      state.change { state in
        state.outcome = outcome
        state.isUnderWay = false
      }
    }
  }
}
