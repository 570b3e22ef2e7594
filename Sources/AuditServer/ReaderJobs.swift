import NIOCore

/// Jobs that the sessions of one event loop have for the reader threads: round-robin over identities, then over an identity's sessions; first
/// in, first out for each session. Confined to the loop.
///
/// Few jobs run at a time. So the loop checks a peer's state before each step, and results do not pile up if the loop is slower than the
/// threads. Each job is one bounded step; longer work queues its next step behind the other sessions' jobs.
package final class ReaderJobs {
  /// Starts a job, which calls `ended` when it is done. Returns false if there is nothing to do any more.
  package typealias Job = () -> Bool

  /// Values that take turns: each key once, in the order in which it got its first value.
  private struct Turns<Key: Hashable, Value> {
    private var values: [Key: Value] = [:]
    private var keys = CircularBuffer<Key>()

    var isEmpty: Bool { values.isEmpty }

    /// - Parameter change: gets the key's value, or `new`.
    mutating func add(_ key: Key, or new: @autoclosure () -> Value, _ change: (inout Value) -> Void) {
      if values[key] == nil { keys.append(key) }
      change(&values[key, default: new()])
    }

    /// Gives the next key its turn.
    ///
    /// - Parameter take: takes something out of its value, and says whether something is left there.
    mutating func next<Taken>(_ take: (inout Value) -> (Taken, isLeft: Bool)?) -> Taken? {
      guard let key = keys.popFirst(), let (taken, isLeft) = take(&values[key]!) else { return nil }
      if isLeft { keys.append(key) } else { values[key] = nil }
      return taken
    }
  }

  /// Who takes a turn among identities: one, or a session without one.
  private enum Group: Hashable {
    case identity(UInt64)
    case session(UInt64)
  }

  private var waiting = Turns<Group, Turns<UInt64, CircularBuffer<Job>>>()
  private var underWay = 0
  private let limit: Int

  package init(limit: Int) { self.limit = limit }

  /// - Parameters:
  ///   - session: its serial.
  ///   - identity: `IdentityUsage.group`; `nil`: the session takes turns by itself.
  package func add(of session: UInt64, identity: UInt64? = nil, _ job: @escaping Job) {
    waiting.add(identity.map { .identity($0) } ?? .session(session), or: Turns()) { sessions in
      sessions.add(session, or: CircularBuffer(initialCapacity: 1)) { $0.append(job) }
    }
    start()
  }

  package func ended() {
    underWay -= 1
    start()
  }

  private func start() {
    while underWay < limit, let job = next() {
      underWay += 1
      if !job() { underWay -= 1 }
    }
  }

  private func next() -> Job? {
    waiting.next { sessions in
      let job = sessions.next { jobs in jobs.popFirst().map { ($0, isLeft: !jobs.isEmpty) } }
      return job.map { ($0, isLeft: !sessions.isEmpty) }
    }
  }
}

/// A step was skipped: its peer has not read enough of what was written before, or is gone.
struct StepSkipped: Error {}
