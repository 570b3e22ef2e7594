import AuditSchema
import NIOCore

/// The requests of one connection that wait for replies. A value: it decides who is concerned, its owner tells them.
struct RequestTable {
  typealias Completion = @Sendable (Result<ServerFrame.Reply, ClientError>) -> Void

  enum Waiter {
    case reply(Completion, deadline: NIODeadline)
    case stream(any ReplyReceiver)
  }

  private var waiters: [UInt64: Waiter] = [:]
  private var lastID: UInt64 = 0

  var count: Int { waiters.count }

  mutating func newID() -> UInt64 {
    lastID += 1
    return lastID
  }

  mutating func add(_ waiter: Waiter, id: UInt64) { waiters[id] = waiter }

  /// Who is to have what arrived for a request. One that is answered once is taken out.
  mutating func received(_ id: UInt64) -> Waiter? {
    guard let index = waiters.index(forKey: id) else { return nil }
    let waiter = waiters.values[index]
    if case .reply = waiter { waiters.remove(at: index) }
    return waiter
  }

  @discardableResult
  mutating func remove(_ id: UInt64) -> Waiter? { waiters.removeValue(forKey: id) }

  /// Takes out the requests whose deadline has passed.
  mutating func removeOverdue(at now: NIODeadline) -> [Completion] {
    var overdue: [Completion] = []
    for (id, waiter) in waiters {
      guard case .reply(let completion, let deadline) = waiter, deadline <= now else { continue }
      waiters[id] = nil
      overdue.append(completion)
    }
    return overdue
  }

  mutating func removeAll() -> [Waiter] {
    defer { waiters = [:] }
    return Array(waiters.values)
  }
}
