import AuditSchema
import NIOCore

/// The unanswered events of a producer. Each is stored once, in order, across any number of connections. A value that does no I/O: its
/// owner performs the actions.
///
/// Events have consecutive numbers; the first event in the queue has number `base`. The server stores each number once and refuses a
/// number that does not follow the last. So after a lost connection, all unanswered events are sent again with their old numbers.
///
/// A refused event does not use its number. The server then refuses the events sent after it as gaps, and each moves up by one number. That
/// is safe only when no event sent with an old number can still arrive. So the refused event stays in the queue as a barrier until all
/// events before it, and all in flight behind it, are answered. Then it is removed. If a lost connection may still deliver old numbers, the
/// queue asks for a new connection and continues there with fresh numbers, above all numbers ever used.
///
/// Another client may take the producer over. The server then tells the first number that it did not store for this client; the events
/// from that number on get new numbers. If the server cannot tell, the sent and unanswered events fail: each may or may not be stored, so
/// none is sent again.
package struct ResendQueue {
  /// Identifies an event in the queue; never used again.
  package typealias Token = UInt64

  package struct Limits {
    /// Maximum events and bytes of the queue.
    package var events = 10_000
    package var bytes = 16 << 20
    /// Maximum events and bytes of one append. An event larger than that is sent alone.
    package var batchEvents = 1000
    package var batchBytes = 256 << 10
    /// Maximum number of unanswered appends.
    package var inFlight = 8

    package init() {}
  }

  package struct Batch: Equatable {
    package let id: UInt64
    package let firstNumber: UInt64
    package let events: [[UInt8]]
  }

  package enum Action: Equatable {
    /// The event is on disk, or was ignored by rule.
    case resolve(Token, Appended)
    /// The event will not be sent again.
    case fail(Token, RequestError)
    /// The server cannot store events now: wait, then call `resume`.
    case pause
    /// Open a new connection, with `helloNumber` in its hello.
    case reconnect
  }

  private enum ItemState {
    case waiting
    case answered
    /// Refused: a barrier. `isCertain`: the server certainly did not store it, so its number is free.
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
  /// Maximum bytes of an event.
  private var eventBytes = Int.max

  /// The number of the first event in the queue.
  private var base: UInt64?
  /// Greater than every number ever sent.
  private var unusedNumber: UInt64 = 1
  /// Numbers below this may still reach the server through a lost connection.
  private var uncertainEnd: UInt64 = 0

  private var isConnected = false
  /// Number of events at the front that are in flight or answered.
  private var sent = 0
  private var inFlight: [InFlight] = []
  /// After a refusal: nothing is sent until nothing is in flight.
  private var isRewinding = false
  private var isPaused = false
  /// Number of events at the front to send one per append, to find the refused one.
  private var isolated = 0
  /// The first `kept` events keep their numbers. Later ones wait until those are answered, then get numbers from `next` on.
  private var renumbering: (kept: Int, next: UInt64)?

  package init(limits: Limits = Limits()) { self.limits = limits }

  /// Number of events in the queue.
  package var count: Int { items.count }

  package var isEmpty: Bool { items.isEmpty }

  /// The lowest number that may still be sent; `nil` before the first welcome.
  package var helloNumber: UInt64? { base }

  // MARK: - From the hub

  /// Adds an encoded event.
  ///
  /// - Returns: `nil` if the queue is full.
  /// - Throws: `recordTooLarge` if the event does not fit into a frame.
  package mutating func enqueue(_ event: [UInt8]) throws(RequestError) -> Token? {
    guard event.count <= eventBytes else { throw tooLarge(event) }
    guard items.count < limits.events, items.isEmpty || bytes + event.count <= limits.bytes else { return nil }
    lastToken += 1
    items.append(Item(token: lastToken, event: event))
    bytes += event.count
    return lastToken
  }

  /// Empties the queue. Returns the unanswered events.
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
      "the event has \(event.count) bytes; the server's limit is \(eventBytes) (frame_bytes less the frame's header); shorten it")
  }

  // MARK: - From the connection

  /// The producer's state in a welcome.
  package struct Standing {
    /// The number that the server expects next.
    package var next: UInt64
    /// The number that it expected when another client took the producer over; `nil` if none did.
    package var takenAt: UInt64?
    /// The server may have forgotten the producer's earlier numbers.
    package var isForgotten: Bool

    package init(next: UInt64, takenAt: UInt64? = nil, isForgotten: Bool = false) {
      self.next = next
      self.takenAt = takenAt
      self.isForgotten = isForgotten
    }
  }

  /// Handles the welcome of a new connection.
  ///
  /// - Parameter frameBytes: the server's maximum bytes of a frame.
  package mutating func connected(_ standing: Standing, frameBytes: Int) -> [Action] {
    isConnected = true
    eventBytes = frameBytes - 64
    var actions: [Action] = []
    if let base {
      if standing.isForgotten, base > 1 || unusedNumber > base {
        failSent("the server has forgotten this producer (producer_forgotten)", &actions)
        // The server accepts only a number above the one that this hello declared.
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

  /// Handles a hello that was refused because the server expects a lower number. Events from that number on are not stored.
  package mutating func refused(expectedNumber next: UInt64) {
    guard let base, next < base else { return }
    begin(at: next)
    (unusedNumber, uncertainEnd) = (next, 0)
  }

  /// Gives new numbers to the events from number `taken` on, which another client has used.
  private mutating func renumber(from taken: UInt64, next: UInt64) {
    guard let base else { return }
    let kept = taken > base ? Int(min(taken - base, UInt64(items.count))) : 0
    // Numbers below `taken` are stored.
    uncertainEnd = taken
    if kept == 0 {
      begin(at: next)
    } else {
      renumbering = (kept, next)
    }
  }

  /// Renumbers all unanswered events from `number` on.
  private mutating func begin(at number: UInt64) {
    items.removeAll { if case .answered = $0.state { true } else { false } }
    bytes = items.reduce(0) { $0 + $1.event.count }
    (sent, isolated, renumbering) = (0, 0, nil)
    base = number
    unusedNumber = max(unusedNumber, number)
  }

  /// Fails the events that were sent and not answered: each may or may not be stored.
  private mutating func failSent(_ reason: String, _ actions: inout [Action]) {
    guard let base, unusedNumber > base else { return }
    let error = RequestError(
      .producerNumberUnknown, "\(reason); this event was sent and not answered, so it may or may not be stored")
    for offset in 0..<Int(min(unusedNumber - base, UInt64(items.count))) { fail(offset, error, &actions) }
  }

  /// Handles the loss of the connection. The batches in flight will be sent again.
  package mutating func disconnected() {
    isConnected = false
    if !inFlight.isEmpty { uncertainEnd = unusedNumber }
    inFlight = []
    sent = 0
    isRewinding = false
    isPaused = false
    _ = removeFinished()
  }

  /// Ends a pause.
  package mutating func resume() { isPaused = false }

  /// The next append to send; `nil` if there is none now.
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

  /// Handles the answer to a batch. Answers to batches of earlier connections are ignored.
  package mutating func answered(_ id: UInt64, _ answer: Result<Appended, RequestError>) -> [Action] {
    guard let index = inFlight.firstIndex(where: { $0.id == id }), let base else { return [] }
    let batch = inFlight.remove(at: index)
    let first = Int(batch.firstNumber - base)
    var actions: [Action] = []
    switch answer {
    case .success(let appended):
      // Numbers sent for the first time cannot be duplicates of this client's events, so another client used them.
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

  /// Resolves the events of a stored batch.
  ///
  /// - Parameters:
  ///   - range: the events' offsets in the queue.
  ///   - strangers: number of records at the start that are another client's events.
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
            offset, RequestError(.producerNumberUnknown, "another client has used this event's number; the event is not stored"), &actions)
          continue
        }
      }
      actions.append(.resolve(self[offset].token, own))
      self[offset].state = .answered
    }
  }

  /// Finds the event that a refused batch failed for, and decides what to send again.
  ///
  /// - Parameter range: the events' offsets in the queue.
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
      // The number is used, and later ones may be: so the event keeps its number and no other moves up.
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
    let isCertain = refusal.code.provesNothingStored
    if let event = range.count == 1 ? 0 : refusal.event, event < range.count {
      drop(items.index(items.startIndex, offsetBy: range.lowerBound + event), refusal, isCertain: isCertain, &actions)
    } else if isCertain {
      isolated = max(isolated, range.upperBound)
    } else {
      for offset in range { drop(items.index(items.startIndex, offsetBy: offset), refusal, isCertain: false, &actions) }
    }
  }

  /// Fails an event whose number is used.
  private mutating func fail(_ offset: Int, _ error: RequestError, _ actions: inout [Action]) {
    guard case .waiting = self[offset].state else { return }
    self[offset].state = .answered
    var own = error
    own.event = nil
    actions.append(.fail(self[offset].token, own))
  }

  /// Fails an event and makes it a barrier.
  private mutating func drop(_ index: CircularBuffer<Item>.Index, _ error: RequestError, isCertain: Bool, _ actions: inout [Action]) {
    guard case .waiting = items[index].state else { return }
    items[index].state = .dropped(isCertain: isCertain)
    var own = error
    own.event = nil
    actions.append(.fail(items[index].token, own))
  }

  /// Removes the answered events at the front, and a barrier once nothing is in flight.
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
