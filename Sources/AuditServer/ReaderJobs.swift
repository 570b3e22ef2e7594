import NIOCore

/// The work of one event loop's sessions on reader threads, in the order in which it was asked for. Used on the loop only.
///
/// Few are under way at a time, so that the loop looks at a peer's situation after each step and before the next, and results do not pile
/// up where the loop is slower than the threads.
final class ReaderJobs {
  /// Begins a job that calls `ended` when it is done; false when there was nothing to do any more.
  typealias Job = () -> Bool

  private var waiting = CircularBuffer<Job>()
  private var underWay = 0
  private let limit: Int

  init(limit: Int) { self.limit = limit }

  func add(_ job: @escaping Job) {
    waiting.append(job)
    start()
  }

  func ended() {
    underWay -= 1
    start()
  }

  private func start() {
    while underWay < limit, let job = waiting.popFirst() {
      underWay += 1
      if !job() { underWay -= 1 }
    }
  }
}

/// A step was not taken since its peer has not taken enough of what was written before; it is asked for again when it has.
struct StepSkipped: Error {}
