import NIOCore

/// Who is to be pushed records, one after the other: whoever had a turn goes to the back. A value; the shard does what it says.
///
/// A commit is pushed in slices. Between two of them the event loop reads and answers, so an append waits for one slice and not for all
/// subscribers.
package struct PushQueue<Member> {
  private var waiting = CircularBuffer<Member>()

  package init() {}

  package var isEmpty: Bool { waiting.isEmpty }

  /// - Parameter member: not in the queue.
  package mutating func add(_ member: Member) { waiting.append(member) }

  /// Whose turn it is; `nil` when nobody waits or the slice's budget is spent.
  package mutating func next(_ budget: inout PushBudget) -> Member? {
    guard !budget.isSpent, let member = waiting.popFirst() else { return nil }
    budget.turn()
    return member
  }
}

/// What one slice of pushing may still do, in bytes of work.
package struct PushBudget {
  /// About what 200 µs are enough for.
  package static let sliceBytes = 256 << 10
  /// A turn in which nothing was written, and the system call of one in which something was.
  private static let turnBytes = 256
  package static let callBytes = 8 << 10
  /// So many bytes that were looked at cost as much as one that was written.
  private static let lookedBytes = 4

  private var left = sliceBytes

  package init() {}

  package var isSpent: Bool { left <= 0 }

  mutating func turn() { left -= Self.turnBytes }

  package mutating func looked(at bytes: Int) { left -= bytes / Self.lookedBytes }

  /// - Parameter isFirst: of a turn.
  package mutating func wrote(_ bytes: Int, isFirst: Bool) { left -= bytes + (isFirst ? Self.callBytes : 0) }
}
