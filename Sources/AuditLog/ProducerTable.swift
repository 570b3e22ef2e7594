import AuditSchema

/// The answer to a producer's hello.
package struct ProducerGreeting: Sendable {
  /// The number that the next event must have.
  package var next: UInt64
  /// The token of this connection's line.
  package var token: [UInt8]
  /// Whether the server may have forgotten this producer.
  package var isForgotten = false
  /// The number that was expected when another line took the producer over; `nil` if none did since this line's last append.
  package var takenAt: UInt64?
  /// The events to record in the log.
  var events: [ProducerEvent] = []

  init(next: UInt64, token: [UInt8], takenAt: UInt64?) {
    (self.next, self.token, self.takenAt) = (next, token, takenAt)
  }

  fileprivate mutating func note(_ kind: OwnRecordKind, _ entry: ProducerEntry, from: UInt64, to: UInt64) {
    events.append(ProducerEvent(kind: kind, hub: entry.hub, producer: entry.producer, from: from, to: to))
  }
}

/// The next number of each producer. Used under the sequencer's mutex. Every segment's header has a copy, so a start reads at most one segment to
/// rebuild it.
///
/// It is bounded so that nobody's hellos can push out a stranger's producers. An entry stays while a connection of its producer is open. After
/// that it stays only if the log has records of it, up to a limit for each hub and for all hubs. Beyond the total, the hubs with the most
/// producers lose entries first. The table remembers that it has forgotten something.
struct ProducerTable {
  typealias Entry = ProducerEntry

  struct Limits {
    /// Maximum producers without a connection: of all hubs, and of one.
    var producers: Int
    var hubProducers: Int
    /// How many numbers a hello may skip.
    var jump: UInt64
  }

  /// Clients skip this many numbers in normal operation: of events that were ignored before a restart, or refused after a lost connection.
  private static let routineJump: UInt64 = 1_000

  /// Maximum producers in a segment's header, each about 500 bytes. A start decodes them within 256 MiB.
  static let encodedProducers = 150_000

  /// The producers of one hub.
  private final class Hub {
    var entries: [String: Entry] = [:]
    /// Number of producers without a connection.
    var idle = 0
    /// Whether some were forgotten.
    var hasForgotten: Bool

    init(hasForgotten: Bool) { self.hasForgotten = hasForgotten }
  }

  private var hubs: [String: Hub] = [:]
  private var idle = 0
  /// Whether a hub that is no longer in the table had producers that were forgotten.
  private var hasForgottenHubs = false
  private var pending: [Entry] = []
  /// The changes of the commit being stored: each entry's `pendingNext` and `pendingLast` when the commit was handed over.
  private var underWay: [(entry: Entry, next: UInt64, last: UInt64?)] = []
  private var uses: UInt64 = 0
  private let limits: Limits
  private let key = SessionToken()

  init(limits: Limits) { self.limits = limits }

  var count: Int { hubs.values.reduce(0) { $0 + $1.entries.count } }

  // MARK: - Hello and close, between commits only

  /// A connection says hello as its producer. From now on only it may append as that producer.
  ///
  /// - Parameters:
  ///   - declared: the lowest number that the producer may still send.
  ///   - token: from an earlier greeting.
  /// - Returns: `nil` for a source without a producer.
  /// - Throws: `notPermitted` for the producer of another principal, `producerSuperseded` while an older line holds it, `producerGap` if too many
  ///   numbers would be skipped. Nothing changes then.
  mutating func greet(_ source: AppendSource, declared: UInt64?, token: SessionToken?) throws(RequestError) -> ProducerGreeting? {
    guard let producer = source.origin.producer else { return nil }
    uses += 1
    let known = hubs[source.origin.hub]?.entries[producer]
    if let known {
      try check(known, principal: source.origin.principal)
      try check(known, declared: declared, line: source.producer === known ? source.line : known.line(with: token))
    }
    let entry = known ?? add(source.origin.hub, producer)
    if entry.principal == nil { entry.principal = source.origin.principal }
    entry.lastUse = uses
    let isAgain = source.isOpen && source.producer === entry
    let line = isAgain ? source.line : entry.line(with: token)
    if isAgain { entry.closed(source.id, line: source.line, at: uses) }
    unsetIdle(entry)
    let isSuspect = !entry.isHeld(by: line)
    // An unknown producer may begin at any number. If producers of its hub were forgotten, its client must be told.
    let isForgotten = known == nil && declared != nil && hubs[entry.hub]!.hasForgotten
    let wasTold = isForgotten && token?.declared(by: entry.hub, producer, key: key).map { $0 < declared! } ?? false
    let mustTell = isForgotten && !wasTold
    let given =
      mustTell ? SessionToken(forgotten: entry.hub, producer, declared: declared!, key: key) : SessionToken()
    let (token, taken, taking) = entry.take(by: source.id, line: line, token: given)
    (source.producer, source.line, source.isOpen) = (entry, taken, true)
    var greeting = ProducerGreeting(next: entry.next, token: token.bytes, takenAt: entry.takenAt(for: taken))
    if known == nil {
      entry.set(next: max(1, declared ?? 1), lastSequence: nil)
      entry.isDoubtful = mustTell && entry.next > 1
      greeting.isForgotten = mustTell
    } else if let declared, declared > entry.next {
      entry.skip(from: entry.next, by: taken)
      entry.isDoubtful = false
      if isSuspect || declared - entry.next > Self.routineJump { greeting.note(.producerJumped, entry, from: entry.next, to: declared) }
      entry.set(next: declared, lastSequence: entry.lastSequence)
    } else {
      greeting.isForgotten = entry.isDoubtful
    }
    switch taking {
    case .own: break
    case .over: greeting.note(.producerTakenOver, entry, from: greeting.next, to: entry.next)
    case .back: greeting.note(.producerTakenBack, entry, from: greeting.takenAt ?? greeting.next, to: entry.next)
    }
    greeting.next = entry.next
    return greeting
  }

  /// A server that asks for no identities knows no principal, and takes every hello.
  private func check(_ entry: Entry, principal: String?) throws(RequestError) {
    guard let owner = entry.principal, let principal, principal != owner else { return }
    throw RequestError(
      .notPermitted,
      "producer \"\(entry.producer)\" of hub \"\(entry.hub)\" belongs to another principal than \(principal); take another producer name")
  }

  private func check(_ entry: Entry, declared: UInt64?, line: UInt64?) throws(RequestError) {
    guard !entry.isDefended(against: line) else {
      throw RequestError(
        .producerSuperseded,
        "an older connection has taken producer \"\(entry.producer)\" of hub \"\(entry.hub)\" back with its token, and is open; connect again when it "
          + "is closed, or take another producer name", mayRetry: true)
    }
    if let declared, declared > entry.next, declared - entry.next > limits.jump {
      throw RequestError(
        .producerGap,
        "the hello's producer_next \(declared) skips \(declared - entry.next) numbers of producer \"\(entry.producer)\"; \(limits.jump) are allowed "
          + "(producer-jump). Number \(entry.next) is expected: nothing from it on is stored, so number what is unanswered from there",
        expectedProducerSequence: entry.next)
    }
    guard line != nil || entry.makeRoomForLine() else {
      throw RequestError(
        .producerSuperseded,
        "\(Entry.maximumLines) clients are connected as producer \"\(entry.producer)\" of hub \"\(entry.hub)\"; give each its own producer name",
        mayRetry: true)
    }
  }

  /// A connection is closed, and everything that was submitted has an outcome.
  mutating func release(_ source: AppendSource) {
    assert(pending.isEmpty && underWay.isEmpty, "a producer is released between commits only")
    guard source.isOpen, let entry = source.producer else { return }
    source.isOpen = false
    uses += 1
    entry.lastUse = uses
    entry.closed(source.id, line: source.line, at: uses)
    if entry.connections == 0 { setIdle(entry) }
  }

  /// The entry of a source's producer; `nil` for a source without one. Greets a source that has not said hello.
  mutating func entry(for source: AppendSource) -> Entry? {
    if let entry = source.producer { return entry }
    return (try? greet(source, declared: nil, token: nil)) == nil ? nil : source.producer
  }

  private mutating func add(_ name: String, _ producer: String) -> Entry {
    let hub = hubs[name] ?? Hub(hasForgotten: hasForgottenHubs)
    hubs[name] = hub
    let entry = Entry(hub: name, producer: producer)
    hub.entries[producer] = entry
    return entry
  }

  // MARK: - Forgetting

  /// An entry has no connection any more.
  private mutating func setIdle(_ entry: Entry) {
    guard let hub = hubs[entry.hub], !entry.isIdle else { return }
    // Without records there is nothing to remember.
    guard entry.lastSequence != nil else { return remove(entry) }
    entry.isIdle = true
    hub.idle += 1
    idle += 1
    if hub.idle > limits.hubProducers {
      forget(hub.entries.values.filter(\.isIdle), keeping: limits.hubProducers - limits.hubProducers / 8)
    }
    if idle > limits.producers { forgetFairly(keeping: limits.producers - limits.producers / 8) }
  }

  private mutating func unsetIdle(_ entry: Entry) {
    guard let hub = hubs[entry.hub], entry.isIdle else { return }
    entry.isIdle = false
    hub.idle -= 1
    idle -= 1
  }

  /// Removes entries of the hubs with the most disconnected producers until they have equally many; if each has one, the least valuable entry.
  private mutating func forgetFairly(keeping kept: Int) {
    func total(_ level: Int) -> Int { hubs.values.reduce(0) { $0 + min($1.idle, level) } }
    var (low, high) = (1, hubs.values.reduce(1) { max($0, $1.idle) })
    while low < high {
      let middle = (low + high + 1) / 2
      if total(middle) <= kept { low = middle } else { high = middle - 1 }
    }
    for hub in Array(hubs.values) where hub.idle > low { forget(hub.entries.values.filter(\.isIdle), keeping: low) }
    if idle > kept { forget(hubs.values.flatMap { $0.entries.values.filter(\.isIdle) }, keeping: kept) }
  }

  /// Order of removal: fewest records first (by powers of two), then idle longest. So pushing out a producer with records takes many records, not
  /// many names.
  private mutating func forget(_ entries: [Entry], keeping kept: Int) {
    let ranked = entries.sorted { one, other in
      let (magnitude, others) = (one.records.leadingZeroBitCount, other.records.leadingZeroBitCount)
      return magnitude == others ? one.lastUse < other.lastUse : magnitude > others
    }
    for entry in ranked.prefix(max(0, entries.count - kept)) {
      hubs[entry.hub]?.hasForgotten = true
      remove(entry)
    }
  }

  private mutating func remove(_ entry: Entry) {
    unsetIdle(entry)
    entry.isForgotten = true
    guard let hub = hubs[entry.hub] else { return }
    hub.entries[entry.producer] = nil
    guard hub.entries.isEmpty else { return }
    if hub.hasForgotten { hasForgottenHubs = true }
    hubs[entry.hub] = nil
  }

  // MARK: - Commits

  /// Notes a change that the commit being sealed makes.
  mutating func advance(_ entry: Entry, next: UInt64, lastSequence: UInt64?, records: Int) {
    if !entry.isPending {
      entry.isPending = true
      pending.append(entry)
    }
    entry.pendingNext = next
    if let lastSequence { entry.pendingLast = lastSequence }
    entry.records &+= UInt64(records)
  }

  /// The sealed commit goes to the store. The outcome of the one before it is known.
  mutating func handOver() {
    for entry in pending {
      entry.isPending = false
      entry.isUnderWay = true
      underWay.append((entry, entry.pendingNext, entry.pendingLast))
    }
    pending.removeAll(keepingCapacity: true)
  }

  /// The outcome of the stored commit. If it failed, the commit that was sealed after it is rolled back too.
  mutating func commitEnded(durable: Bool) {
    for (entry, next, last) in underWay {
      entry.isUnderWay = false
      if durable {
        entry.next = next
        entry.lastSequence = last
      } else {
        entry.rollBack()
      }
    }
    underWay.removeAll(keepingCapacity: true)
    if !durable { rollBackPending() }
  }

  /// Rolls back the commit being sealed.
  private mutating func rollBackPending() {
    for entry in pending {
      entry.isPending = false
      entry.rollBack()
    }
    pending.removeAll(keepingCapacity: true)
  }

  // MARK: - The log

  /// Replays a record that is in the log.
  mutating func replay(hub: String, producer: String, principal: String?, number: UInt64, sequence: UInt64) {
    let known = hubs[hub]?.entries[producer]
    let entry = known ?? add(hub, producer)
    if entry.principal == nil { entry.principal = principal }
    restore(entry, next: max(known?.next ?? 1, number + 1), lastSequence: sequence, records: (known?.records ?? 0) + 1)
  }

  private mutating func restore(_ entry: Entry, next: UInt64, lastSequence: UInt64?, records: UInt64) {
    uses += 1
    entry.lastUse = uses
    entry.records = records
    entry.set(next: next, lastSequence: lastSequence)
    setIdle(entry)
  }

  /// The encoded state as of the last durable commit, idle producers first. Bounded: entries beyond the limit count as forgotten.
  var encoded: [UInt8] {
    // A producer without records is as good as unknown.
    let known = hubs.values.flatMap(\.entries.values).filter { $0.lastSequence != nil }.sorted { $0.lastUse < $1.lastUse }
    return SequencerState(
      producers: known.suffix(Self.encodedProducers).map {
        SequencerState.Producer(
          hub: $0.hub, name: $0.producer, nextNumber: $0.next, lastSequence: $0.lastSequence, records: $0.records,
          principal: $0.principal)
      }, hasForgotten: known.count > Self.encodedProducers || hasForgottenHubs || hubs.values.contains(where: \.hasForgotten)
    ).encoded()
  }

  mutating func restore(_ bytes: [UInt8]) throws(RequestError) {
    let state = try SequencerState(encoded: bytes)
    hasForgottenHubs = state.hasForgotten
    for producer in state.producers {
      let entry = hubs[producer.hub]?.entries[producer.name] ?? add(producer.hub, producer.name)
      entry.principal = producer.principal
      restore(entry, next: producer.nextNumber, lastSequence: producer.lastSequence, records: producer.records)
    }
  }
}
