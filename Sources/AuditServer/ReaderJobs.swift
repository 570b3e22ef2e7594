import NIOCore

/// Jobs that the sessions of one event loop have for the reader threads: first in, first out for each session, round-robin over sessions.
/// Confined to the loop.
///
/// Few jobs run at a time. So the loop checks a peer's state before each step, and results do not pile up if the loop is slower than the
/// threads. Each job is one bounded step; longer work queues its next step behind the other sessions' jobs.
package final class ReaderJobs {
  /// Starts a job, which calls `ended` when it is done. Returns false if there is nothing to do any more.
  package typealias Job = () -> Bool

  /// Waiting jobs by session serial.
  private var waiting: [UInt64: CircularBuffer<Job>] = [:]
  /// Serials of sessions with waiting jobs, each once.
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

/// A step was skipped: its peer has not read enough of what was written before, or is gone.
struct StepSkipped: Error {}
