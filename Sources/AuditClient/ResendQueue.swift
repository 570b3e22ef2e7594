import AuditSchema
import NIOCore

/// Events on their way to the log: each is stored once, in order, over as many connections as it takes. A value that decides; its owner
/// sends and waits.
///
/// Events carry numbers without gaps: the first in the queue has `base`, those behind it follow. The server stores a number once, and
/// refuses one that does not follow the last. So after a lost connection everything unanswered is sent again under its old number.
///
/// A refused event used no number, and the ones sent after it come back as gaps: they move up by one. That is only safe when nothing that
/// was sent under the old numbers can still arrive. So a refused event stays in the queue as a barrier: what is before it is answered
/// first, then what was in flight behind it; then it goes, and if something may still arrive through a connection that was lost, the queue
/// asks for a new connection on which it declares fresh numbers, beyond every number that was ever used.
///
/// Another client may take the producer over. Then the server says from which number on this one's events were not stored: they get new
/// numbers. Where it cannot say that, events that were sent and not answered fail: they may be stored or not, and are not sent again.
package struct ResendQueue {
  package typealias Token = UInt64

  package struct Limits {
    /// Of the queue.
    package var events = 10_000
    package var bytes = 16 << 20
    /// Of one append.
    package var batchEvents = 1000
    package var batchBytes = 256 << 10
    /// Appends that wait for their answer.
    package var inFlight = 8

    package init() {}
  }

  package struct Batch: Equatable {
    package let id: UInt64
    package let firstNumber: UInt64
    package let events: [[UInt8]]
  }

  package enum Action: Equatable {
    /// The event is on disk, or makes no record.
    case resolve(Token, Appended)
    /// The event will not be stored.
    case fail(Token, RequestError)
    /// The server cannot store now: wait before `resume`.
    case pause
    /// Make a new connection, with `helloNumber` in its hello.
    case reconnect
  }

  private enum ItemState {
    case waiting
    case answered
    /// Refused. `isCertain`: its number is still free.
    case dropped(isCertain: Bool)
  }

  private struct Item {
    let token: Token
    let event: [UInt8]
    var state = ItemState.waiting
  }

  private struct InFlight {
    let id: UInt64
    let firstNumber: UInt64
    let count: Int
  }

  private let limits: Limits
  private var items = CircularBuffer<Item>()
  private var lastToken: Token = 0
  private var lastBatch: UInt64 = 0
  package private(set) var bytes = 0
  /// Bytes that one event may have.
  private var eventBytes = Int.max

  /// The number of the first event in the queue.
  private var base: UInt64?
  /// Greater than every number that was ever sent.
  private var unusedNumber: UInt64 = 1
  /// Numbers below it may still reach the server through a connection that was lost.
  private var uncertainEnd: UInt64 = 0

  private var isConnected = false
  /// How many of the first events need not be sent now.
  private var sent = 0
  private var inFlight: [InFlight] = []
  /// Something was refused: nothing is sent until all that is in flight is answered.
  private var isRewinding = false
  private var isPaused = false
  /// How many of the first events are sent one by one, to find the one that is refused.
  private var isolated = 0
  /// Events behind so many first ones are sent when those are answered, from this number on: another client has used theirs.
  private var renumbering: (kept: Int, next: UInt64)?

  package init(limits: Limits = Limits()) { self.limits = limits }

  /// Number of events that wait for their answer.
  package var count: Int { items.count }

  package var isEmpty: Bool { items.isEmpty }

  /// The lowest number that may still be sent; `nil` before the server has told where this producer is.
  package var helloNumber: UInt64? { base }

  // MARK: - From the hub

  /// - Returns: `nil` when the queue is full.
  /// - Throws: `recordTooLarge` for an event that no frame can carry.
  package mutating func enqueue(_ event: [UInt8]) throws(RequestError) -> Token? {
    guard event.count <= eventBytes else { throw tooLarge(event) }
    guard items.count < limits.events, items.isEmpty || bytes + event.count <= limits.bytes else { return nil }
    lastToken += 1
    items.append(Item(token: lastToken, event: event))
    bytes += event.count
    return lastToken
  }

  /// Gives up: the events that were not answered.
  package mutating func removeAll() -> [Token] {
    defer {
      items.removeAll()
      inFlight = []
      bytes = 0
    }
    return items.compactMap { if case .waiting = $0.state { $0.token } else { nil } }
  }

  private func tooLarge(_ event: [UInt8]) -> RequestError {
    RequestError(
      .recordTooLarge,
      "the event takes \(event.count) bytes; the server's frames leave room for \(eventBytes) (frame_bytes); shorten it")
  }

  // MARK: - From the connection

  /// What a welcome says of this producer.
  package struct Standing {
    /// The number that the server expects.
    package var next: UInt64
    /// The one that it expected when another client took the producer over.
    package var takenAt: UInt64?
    /// The server may have forgotten what it knew of the producer.
    package var isForgotten: Bool

    package init(next: UInt64, takenAt: UInt64? = nil, isForgotten: Bool = false) {
      self.next = next
      self.takenAt = takenAt
      self.isForgotten = isForgotten
    }
  }

  /// A connection's hello was answered.
  ///
  /// - Parameter frameBytes: the server's limit.
  package mutating func connected(_ standing: Standing, frameBytes: Int) -> [Action] {
    isConnected = true
    eventBytes = frameBytes - 64
    var actions: [Action] = []
    if let base {
      if standing.isForgotten, base > 1 || unusedNumber > base {
        failSent("the server has forgotten this producer (producer_forgotten)", &actions)
        // It takes no number that it was told before.
        begin(at: max(unusedNumber, base + 1))
        isConnected = false
        actions.append(.reconnect)
      } else if let taken = standing.takenAt {
        renumber(from: taken, next: standing.next)
      } else if standing.next > unusedNumber {
        failSent("another client has used this producer's numbers", &actions)
        begin(at: standing.next)
      }
    } else {
      base = standing.next
    }
    unusedNumber = max(unusedNumber, standing.next)
    for index in items.indices where items[index].event.count > eventBytes {
      drop(index, tooLarge(items[index].event), isCertain: true, &actions)
    }
    return actions + removeFinished()
  }

  /// The server did not take the hello since its number is too far from the one that is expected. Nothing from that on is stored.
  package mutating func refused(expectedNumber next: UInt64) {
    guard let base, next < base else { return }
    begin(at: next)
    (unusedNumber, uncertainEnd) = (next, 0)
  }

  /// Another client has used the numbers from one on: the events that have them get new ones.
  private mutating func renumber(from taken: UInt64, next: UInt64) {
    guard let base else { return }
    let kept = taken > base ? Int(min(taken - base, UInt64(items.count))) : 0
    // Those before it are stored.
    uncertainEnd = taken
    if kept == 0 {
      begin(at: next)
    } else {
      renumbering = (kept, next)
    }
  }

  /// The events get numbers from this on.
  private mutating func begin(at number: UInt64) {
    items.removeAll { if case .answered = $0.state { true } else { false } }
    bytes = items.reduce(0) { $0 + $1.event.count }
    (sent, isolated, renumbering) = (0, 0, nil)
    base = number
    unusedNumber = max(unusedNumber, number)
  }

  /// What was sent and not answered may be stored or not, and is given up.
  private mutating func failSent(_ reason: String, _ actions: inout [Action]) {
    guard let base, unusedNumber > base else { return }
    let error = RequestError(
      .producerNumberUnknown, "\(reason): it cannot be told whether this event, which was sent and not answered, is stored")
    for offset in 0..<Int(min(unusedNumber - base, UInt64(items.count))) { fail(offset, error, &actions) }
  }

  /// The connection is gone, with all that was in flight on it.
  package mutating func disconnected() {
    isConnected = false
    if !inFlight.isEmpty { uncertainEnd = unusedNumber }
    inFlight = []
    sent = 0
    isRewinding = false
    isPaused = false
    _ = removeFinished()
  }

  package mutating func resume() { isPaused = false }

  /// What to send now; `nil` when there is nothing, or something else must come first.
  package mutating func nextBatch() -> Batch? {
    guard isConnected, !isRewinding, !isPaused, inFlight.count < limits.inFlight, let base else { return nil }
    while sent < items.count, case .answered = self[sent].state { sent += 1 }
    let first = sent
    var events: [[UInt8]] = []
    var size = 0
    let end = renumbering?.kept ?? items.count
    while sent < end, case .waiting = self[sent].state {
      let event = self[sent].event
      if !events.isEmpty {
        guard first >= isolated, events.count < limits.batchEvents, size + event.count <= min(limits.batchBytes, eventBytes) else { break }
      }
      events.append(event)
      size += event.count + 6
      sent += 1
    }
    guard !events.isEmpty else { return nil }
    lastBatch += 1
    let batch = Batch(id: lastBatch, firstNumber: base + UInt64(first), events: events)
    inFlight.append(InFlight(id: batch.id, firstNumber: batch.firstNumber, count: events.count))
    unusedNumber = max(unusedNumber, batch.firstNumber + UInt64(events.count))
    return batch
  }

  /// A batch was answered. One of another connection is passed over.
  package mutating func answered(_ id: UInt64, _ answer: Result<Appended, RequestError>) -> [Action] {
    guard let index = inFlight.firstIndex(where: { $0.id == id }), let base else { return [] }
    let batch = inFlight.remove(at: index)
    let first = Int(batch.firstNumber - base)
    var actions: [Action] = []
    switch answer {
    case .success(let appended):
      // Numbers that were never sent before cannot have been stored before: such duplicates are another client's.
      accept(first..<first + batch.count, appended, strangers: batch.firstNumber >= uncertainEnd ? appended.duplicates : 0, &actions)
    case .failure(let refusal) where refusal.code == .producerSuperseded:
      (isConnected, isRewinding) = (false, true)
      return [.reconnect]
    case .failure(let refusal): refuse(first..<first + batch.count, refusal, &actions)
    }
    return actions + removeFinished()
  }

  // MARK: - Answers

  private subscript(_ offset: Int) -> Item {
    get { items[items.index(items.startIndex, offsetBy: offset)] }
    set { items[items.index(items.startIndex, offsetBy: offset)] = newValue }
  }

  /// - Parameter strangers: how many of the first records are another client's events.
  private mutating func accept(_ range: Range<Int>, _ appended: Appended, strangers: Int, _ actions: inout [Action]) {
    let ignored = Set(appended.ignoredEvents)
    var recorded = 0
    for (position, offset) in range.enumerated() {
      var own = Appended(recorded: 0, ignoredEvents: [0], firstSequence: nil)
      if !ignored.contains(UInt32(position)) {
        own = Appended(
          recorded: 1, firstSequence: appended.sequence(of: recorded), duplicates: recorded < appended.duplicates ? 1 : 0)
        recorded += 1
        if recorded <= strangers {
          fail(
            offset, RequestError(.producerNumberUnknown, "another client has used the number of this event, which is not stored"), &actions)
          continue
        }
      }
      actions.append(.resolve(self[offset].token, own))
      self[offset].state = .answered
    }
  }

  private mutating func refuse(_ range: Range<Int>, _ refusal: RequestError, _ actions: inout [Action]) {
    let isExplained = isRewinding
    isRewinding = true
    if refusal.code == .producerGap {
      if !isExplained {
        isConnected = false
        actions.append(.reconnect)
      }
      return
    }
    if refusal.code == .producerNumberUnknown {
      // The number is used, and so may be those behind it: nothing moves up.
      if let event = range.count == 1 ? 0 : refusal.event, event < range.count {
        fail(range.lowerBound + event, refusal, &actions)
      } else {
        isolated = max(isolated, range.upperBound)
      }
      return
    }
    if refusal.code.isRetryable {
      isPaused = true
      actions.append(.pause)
      return
    }
    // After these it is known that nothing was stored; after others, the log's failure among them, it is not.
    let isCertain = refusal.code.rawValue < RequestError.Code.overloaded.rawValue
    if let event = range.count == 1 ? 0 : refusal.event, event < range.count {
      drop(items.index(items.startIndex, offsetBy: range.lowerBound + event), refusal, isCertain: isCertain, &actions)
    } else if isCertain {
      isolated = max(isolated, range.upperBound)
    } else {
      for offset in range { drop(items.index(items.startIndex, offsetBy: offset), refusal, isCertain: false, &actions) }
    }
  }

  /// The event will not be stored, and keeps its number.
  private mutating func fail(_ offset: Int, _ error: RequestError, _ actions: inout [Action]) {
    guard case .waiting = self[offset].state else { return }
    self[offset].state = .answered
    var own = error
    own.event = nil
    actions.append(.fail(self[offset].token, own))
  }

  private mutating func drop(_ index: CircularBuffer<Item>.Index, _ error: RequestError, isCertain: Bool, _ actions: inout [Action]) {
    guard case .waiting = items[index].state else { return }
    items[index].state = .dropped(isCertain: isCertain)
    var own = error
    own.event = nil
    actions.append(.fail(items[index].token, own))
  }

  /// Takes away what is answered, and a barrier that nothing holds up any more.
  private mutating func removeFinished() -> [Action] {
    while case .answered? = items.first?.state { removeFirst(usesNumber: true) }
    if let renumbering, renumbering.kept == 0 { begin(at: renumbering.next) }
    guard inFlight.isEmpty else { return [] }
    if isRewinding {
      isRewinding = false
      sent = 0
    }
    var mustDeclare = false
    var hadBarrier = false
    while case .dropped(let isCertain)? = items.first?.state {
      hadBarrier = true
      if !isCertain { mustDeclare = true }
      removeFirst(usesNumber: false)
    }
    guard hadBarrier, let base else { return [] }
    items.removeAll { if case .answered = $0.state { true } else { false } }
    bytes = items.reduce(0) { $0 + $1.event.count }
    sent = 0
    guard mustDeclare || base < uncertainEnd else { return [] }
    self.base = unusedNumber
    isConnected = false
    return [.reconnect]
  }

  private mutating func removeFirst(usesNumber: Bool) {
    bytes -= items.removeFirst().event.count
    if usesNumber { base = base.map { $0 + 1 } }
    sent = max(0, sent - 1)
    isolated = max(0, isolated - 1)
    if let kept = renumbering?.kept { renumbering?.kept = max(0, kept - 1) }
  }
}
