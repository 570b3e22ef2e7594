import AuditSchema

/// The answer to a producer's hello.
package struct ProducerGreeting: Sendable {
  /// The number that is expected next.
  package var next: UInt64
  /// The secret of this connection's line.
  package var token: [UInt8]
  /// The server may have forgotten this producer.
  package var isForgotten = false
  /// The number that was expected when another line took the producer over, where this one has appended nothing since.
  package var takenAt: UInt64?
  /// What the log should say about it.
  var events: [ProducerEvent] = []

  init(next: UInt64, token: [UInt8], takenAt: UInt64?) {
    (self.next, self.token, self.takenAt) = (next, token, takenAt)
  }

  fileprivate mutating func note(_ kind: ProducerEvent.Kind, _ entry: ProducerEntry, from: UInt64, to: UInt64) {
    events.append(ProducerEvent(kind: kind, hub: entry.hub, producer: entry.producer, from: from, to: to))
  }
}

/// What the next number of each producer is. Used under the sequencer's mutex. It is part of what a segment begins with, so that a start
/// reads at most one segment to have it again.
///
/// Bounded, and so that nobody's hellos make it forget a stranger's producers: an entry is kept while a connection that has said hello as
/// its producer is open; then only if the log has records of it, and of those so many for each hub and in all. When there are too many in
/// all, those of the hubs that have most go. That something was forgotten is remembered.
struct ProducerTable {
  typealias Entry = ProducerEntry

  struct Limits {
    /// Producers without a connection that are remembered, in all and of one hub.
    var producers: Int
    var hubProducers: Int
    /// Numbers that a hello may skip.
    var jump: UInt64
  }

  /// A client skips so many numbers as a matter of course: of events that were ignored before a restart, or refused behind a lost connection.
  private static let routineJump: UInt64 = 1_000

  /// Producers in the state of a segment, each with at most some 350 bytes: a start decodes it in a part of 256 MiB.
  static let encodedProducers = 150_000

  /// The producers of one hub.
  private final class Hub {
    var entries: [String: Entry] = [:]
    /// How many of them have no connection.
    var idle = 0
    /// Some were forgotten.
    var hasForgotten: Bool

    init(hasForgotten: Bool) { self.hasForgotten = hasForgotten }
  }

  private var hubs: [String: Hub] = [:]
  private var idle = 0
  /// Hubs of which nothing is left had producers that were forgotten: what is true of every hub that is not there.
  private var hasForgottenHubs = false
  private var pending: [Entry] = []
  /// What the commit that is being stored does: the same for each entry as `pendingNext` and `pendingLast` when it was handed over.
  private var underWay: [(entry: Entry, next: UInt64, last: UInt64?)] = []
  private var uses: UInt64 = 0
  private let limits: Limits
  private let key = SessionToken()

  init(limits: Limits) { self.limits = limits }

  var count: Int { hubs.values.reduce(0) { $0 + $1.entries.count } }

  // MARK: - Hello and the end of a connection. Between commits only.

  /// A connection says hello as its producer: from here on the producer's events are taken from it alone.
  ///
  /// - Parameters:
  ///   - declared: the lowest number that the producer may still send.
  ///   - token: of an earlier greeting.
  /// - Returns: `nil` for a source without a producer.
  /// - Throws: `producerSuperseded` while an older connection defends it, `producerGap` when too many numbers would be skipped. Nothing is
  ///   changed then.
  mutating func greet(_ source: AppendSource, declared: UInt64?, token: SessionToken?) throws(RequestError) -> ProducerGreeting? {
    guard let producer = source.origin.producer else { return nil }
    uses += 1
    let known = hubs[source.origin.hub]?.entries[producer]
    if let known { try check(known, declared: declared, line: source.producer === known ? source.line : known.line(with: token)) }
    let entry = known ?? add(source.origin.hub, producer)
    entry.lastUse = uses
    let isAgain = source.isOpen && source.producer === entry
    let line = isAgain ? source.line : entry.line(with: token)
    if isAgain { entry.closed(source.id, line: source.line, at: uses) }
    unsetIdle(entry)
    let isSuspect = !entry.isHeld(by: line)
    // A producer that the log does not know may begin anywhere, if it is not one that was forgotten; then its client has to know.
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
      if isSuspect || declared - entry.next > Self.routineJump { greeting.note(.jumped, entry, from: entry.next, to: declared) }
      entry.set(next: declared, lastSequence: entry.lastSequence)
    } else {
      greeting.isForgotten = entry.isDoubtful
    }
    switch taking {
    case .own: break
    case .over: greeting.note(.takenOver, entry, from: greeting.next, to: entry.next)
    case .back: greeting.note(.takenBack, entry, from: greeting.takenAt ?? greeting.next, to: entry.next)
    }
    greeting.next = entry.next
    return greeting
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

  /// A connection is closed, and all that it submitted has its outcome.
  mutating func release(_ source: AppendSource) {
    guard source.isOpen, let entry = source.producer else { return }
    source.isOpen = false
    uses += 1
    entry.lastUse = uses
    entry.closed(source.id, line: source.line, at: uses)
    if entry.connections == 0 { setIdle(entry) }
  }

  /// The entry of a source's producer; `nil` for a source that has none. A source that has not said hello does so.
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

  // MARK: - What is forgotten

  /// An entry has no connection any more.
  private mutating func setIdle(_ entry: Entry) {
    guard let hub = hubs[entry.hub], !entry.isIdle else { return }
    // Of one that the log has no record of there is nothing to remember.
    guard entry.lastSequence != nil || entry.isPending || entry.isUnderWay else { return remove(entry) }
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

  /// Of the hubs that have most producers without a connection, as many go as make them equal; if each has one, the least worthy.
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

  /// Those with the fewest records go first, by orders of magnitude, and among them the one that was idle longest: so it takes many records,
  /// not many names, to push out a producer that has some.
  private mutating func forget(_ entries: [Entry], keeping kept: Int) {
    let idle = entries.filter { !$0.isPending && !$0.isUnderWay }
    let ranked = idle.sorted { one, other in
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

  /// Notes what the commit that is made does to a producer.
  mutating func advance(_ entry: Entry, next: UInt64, lastSequence: UInt64?, records: Int) {
    if !entry.isPending {
      entry.isPending = true
      pending.append(entry)
    }
    entry.pendingNext = next
    if let lastSequence { entry.pendingLast = lastSequence }
    entry.records &+= UInt64(records)
  }

  /// The commit that was made goes to the store; the outcome of the one before it is known.
  mutating func handOver() {
    for entry in pending {
      entry.isPending = false
      entry.isUnderWay = true
      underWay.append((entry, entry.pendingNext, entry.pendingLast))
    }
    pending.removeAll(keepingCapacity: true)
  }

  /// The commit that was handed over is durable; or it is not, and then neither can be the one that was made after it.
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

  /// The commit that was made is none.
  private mutating func rollBackPending() {
    for entry in pending {
      entry.isPending = false
      entry.rollBack()
    }
    pending.removeAll(keepingCapacity: true)
  }

  // MARK: - The log

  /// Notes a record that is already in the log.
  mutating func replay(hub: String, producer: String, number: UInt64, sequence: UInt64) {
    let known = hubs[hub]?.entries[producer]
    restore(
      known ?? add(hub, producer), next: max(known?.next ?? 1, number + 1), lastSequence: sequence, records: (known?.records ?? 0) + 1)
  }

  private mutating func restore(_ entry: Entry, next: UInt64, lastSequence: UInt64?, records: UInt64) {
    uses += 1
    entry.lastUse = uses
    entry.records = records
    entry.set(next: next, lastSequence: lastSequence)
    setIdle(entry)
  }

  /// As of the last commit, idlest first. Bounded, also where more producers have connections: of what is left out it says that it was forgotten.
  var encoded: [UInt8] {
    // One that has never had an event recorded is as good as unknown.
    let known = hubs.values.flatMap(\.entries.values).filter { $0.lastSequence != nil }.sorted { $0.lastUse < $1.lastUse }
    return SequencerState(
      producers: known.suffix(Self.encodedProducers).map {
        SequencerState.Producer(
          hub: $0.hub, name: $0.producer, nextNumber: $0.next, lastSequence: $0.lastSequence, records: $0.records)
      }, hasForgotten: known.count > Self.encodedProducers || hasForgottenHubs || hubs.values.contains(where: \.hasForgotten)
    ).encoded()
  }

  mutating func restore(_ bytes: [UInt8]) throws(RequestError) {
    let state = try SequencerState(encoded: bytes)
    hasForgottenHubs = state.hasForgotten
    for producer in state.producers {
      let known = hubs[producer.hub]?.entries[producer.name]
      restore(
        known ?? add(producer.hub, producer.name), next: producer.nextNumber, lastSequence: producer.lastSequence,
        records: producer.records)
    }
  }
}
