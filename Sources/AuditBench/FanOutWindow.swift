import Synchronization

/// The window of a closed loop with subscribers. An event is in flight until all subscribers have it, so the slowest one sets the pace.
final class FanOutWindow: Sendable {
  private let subscribers: [Subscriber]
  private let limit: UInt64
  private let sent = Atomic<UInt64>(0)
  private let waiting = Mutex<[@Sendable () -> Void]>([])
  private let isAwaited = Atomic<Bool>(false)

  /// - Parameter limit: maximum number of events in flight.
  init(_ subscribers: [Subscriber], limit: Int) {
    self.subscribers = subscribers
    self.limit = UInt64(limit)
  }

  private var slowest: UInt64 { subscribers.reduce(.max) { min($0, $1.records.load(ordering: .relaxed)) } }

  /// Takes room for `events` events. Returns `false` if there is none; `resume` is then called when there may be.
  func take(_ events: Int, else resume: @escaping @Sendable () -> Void) -> Bool {
    let events = UInt64(events)
    if sent.load(ordering: .relaxed) + events <= slowest + limit {
      sent.add(events, ordering: .relaxed)
      return true
    }
    waiting.withLock { $0.append(resume) }
    isAwaited.store(true, ordering: .sequentiallyConsistent)
    // Room that became free before `resume` was registered has notified nobody.
    delivered()
    return false
  }

  /// Called when a subscriber has received more.
  func delivered() {
    guard isAwaited.load(ordering: .sequentiallyConsistent), sent.load(ordering: .relaxed) < slowest + limit else { return }
    let all = waiting.withLock { waiting in
      isAwaited.store(false, ordering: .sequentiallyConsistent)
      defer { waiting = [] }
      return waiting
    }
    for resume in all { resume() }
  }
}
