import AuditSchema
import NIOCore

/// The unanswered requests of one connection. A value: it finds the receiver of a reply; its owner calls it.
package struct RequestTable {
  package typealias Completion = @Sendable (Result<ServerFrame.Reply, ClientError>) -> Void
  package typealias AppendCompletion = @Sendable (Result<Appended, ClientError>) -> Void

  package init() {}

  package enum Waiter {
    case reply(Completion, deadline: NIODeadline)
    case append(AppendCompletion, events: Int, deadline: NIODeadline)
    case stream(any ReplyReceiver)

    fileprivate var deadline: NIODeadline? {
      switch self {
      case .reply(_, let deadline), .append(_, _, let deadline): deadline
      case .stream: nil
      }
    }

    package func fail(_ error: ClientError) {
      switch self {
      case .reply(let completion, _): completion(.failure(error))
      case .append(let completion, _, _): completion(.failure(error))
      case .stream(let stream): stream.finish(error)
      }
    }
  }

  /// Requests with one reply, by id: element `head + n` has id `firstID + n`. `nil` once answered; most are answered in order.
  private var row: [Waiter?] = []
  /// Index in `row` of the oldest unanswered request. `firstID` is its id.
  private var head = 0
  private var firstID: UInt64 = 1
  /// Number of unanswered requests in `row`.
  private var waiting = 0
  /// Streams, and old requests that would keep `row` long.
  private var others: [UInt64: Waiter] = [:]
  private var lastID: UInt64 = 0

  /// Answered elements that `row` may hold before it is shortened.
  private static let holes = 1024

  package var count: Int { waiting + others.count }

  package mutating func newID() -> UInt64 {
    lastID += 1
    return lastID
  }

  /// - Parameter id: greater than every id added before.
  package mutating func add(_ waiter: Waiter, id: UInt64) {
    if case .stream = waiter {
      others[id] = waiter
      return
    }
    if waiting == 0 {
      row.removeAll(keepingCapacity: true)
      head = 0
      firstID = id
    }
    while firstID + UInt64(row.count - head) < id { row.append(nil) }
    row.append(waiter)
    waiting += 1
    if row.count - head > Self.holes + 8 * waiting { setFirstAside() }
  }

  /// The receiver of a reply. Removes a request that has only one reply.
  package mutating func received(_ id: UInt64) -> Waiter? {
    if let waiter = take(id) { return waiter }
    guard let waiter = others[id] else { return nil }
    if waiter.deadline != nil { others[id] = nil }
    return waiter
  }

  @discardableResult
  package mutating func remove(_ id: UInt64) -> Waiter? { take(id) ?? others.removeValue(forKey: id) }

  private mutating func take(_ id: UInt64) -> Waiter? {
    guard id >= firstID, id - firstID < UInt64(row.count - head), let waiter = row[head + Int(id - firstID)].take() else { return nil }
    waiting -= 1
    skipHoles()
    return waiter
  }

  private mutating func skipHoles() {
    while head < row.count, case .none = row[head] {
      head += 1
      firstID += 1
    }
    guard head > Self.holes, head * 2 > row.count else { return }
    row.removeFirst(head)
    head = 0
  }

  /// Moves the oldest request to `others`, so that `row` does not grow with the requests answered after it.
  private mutating func setFirstAside() {
    guard let first = row[head].take() else { return skipHoles() }
    others[firstID] = first
    waiting -= 1
    skipHoles()
  }

  /// Removes and returns the requests whose deadline has passed.
  package mutating func removeOverdue(at now: NIODeadline) -> [Waiter] {
    var overdue: [Waiter] = []
    for index in row.indices.dropFirst(head) {
      guard let deadline = row[index]?.deadline, deadline <= now, let waiter = row[index].take() else { continue }
      waiting -= 1
      overdue.append(waiter)
    }
    skipHoles()
    for (id, waiter) in others {
      guard let deadline = waiter.deadline, deadline <= now else { continue }
      others[id] = nil
      overdue.append(waiter)
    }
    return overdue
  }

  /// Removes and returns all requests. Ids are not used again.
  package mutating func removeAll() -> [Waiter] {
    let all = row.compactMap { $0 } + others.values
    let lastID = lastID
    self = RequestTable()
    self.lastID = lastID
    return all
  }
}
