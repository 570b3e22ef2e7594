import NIOCore

/// The work of one event loop's sessions on reader threads: a session's own in the order in which it was asked for, the sessions in turn.
/// Used on the loop only.
///
/// Few jobs are under way at a time, so that the loop looks at a peer's situation after each step and before the next, and results do not
/// pile up where the loop is slower than the threads. Each job is a bounded step; what takes more of them asks again, behind the others.
package final class ReaderJobs {
  /// Begins a job that calls `ended` when it is done; false when there was nothing to do any more.
  package typealias Job = () -> Bool

  /// The jobs that wait, by the session's serial.
  private var waiting: [UInt64: CircularBuffer<Job>] = [:]
  /// The sessions that have jobs waiting, each once.
  private var turns = CircularBuffer<UInt64>()
  private var underWay = 0
  private let limit: Int

  package init(limit: Int) { self.limit = limit }

  /// - Parameter session: its serial.
  package func add(of session: UInt64, _ job: @escaping Job) {
    if waiting[session, default: CircularBuffer(initialCapacity: 1)].isEmpty { turns.append(session) }
    waiting[session, default: CircularBuffer(initialCapacity: 1)].append(job)
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
    guard let session = turns.popFirst(), let job = waiting[session]?.popFirst() else { return nil }
    if waiting[session]!.isEmpty { waiting[session] = nil } else { turns.append(session) }
    return job
  }
}

/// A step was not taken since its peer has not taken enough of what was written before, or is gone.
struct StepSkipped: Error {}
