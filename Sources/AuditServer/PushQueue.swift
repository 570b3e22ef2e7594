import NIOCore

/// The subscriptions that wait for a push, in round-robin order.
///
/// A commit is pushed in slices. Between two slices the event loop reads and answers, so an append waits for one slice, not for all
/// subscribers.
package struct PushQueue<Member> {
  private var waiting = CircularBuffer<Member>()

  package init() {}

  package var isEmpty: Bool { waiting.isEmpty }

  /// - Parameter member: must not be in the queue.
  package mutating func add(_ member: Member) { waiting.append(member) }

  /// The next member; `nil` if none waits, or the slice's budget is spent.
  package mutating func next(_ budget: inout PushBudget) -> Member? {
    guard !budget.isSpent, let member = waiting.popFirst() else { return nil }
    budget.turn()
    return member
  }
}

/// The work that is left for one slice of pushing, in bytes.
package struct PushBudget {
  /// About 200 µs of work.
  package static let sliceBytes = 256 << 10
  /// Cost of a turn that writes nothing, and of the system call of a turn that writes.
  private static let turnBytes = 256
  package static let callBytes = 8 << 10
  /// This many examined bytes cost as much as one written byte.
  private static let lookedBytes = 4

  private var left = sliceBytes

  package init() {}

  package var isSpent: Bool { left <= 0 }

  mutating func turn() { left -= Self.turnBytes }

  package mutating func looked(at bytes: Int) { left -= bytes / Self.lookedBytes }

  /// - Parameter isFirst: whether it is the first write of a turn.
  package mutating func wrote(_ bytes: Int, isFirst: Bool) { left -= bytes + (isFirst ? Self.callBytes : 0) }
}
