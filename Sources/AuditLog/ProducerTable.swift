import AuditSchema

/// What the next number of each producer is. Used under the sequencer's mutex.
///
/// Bounded: the producers that were idle longest are forgotten when there are too many. It is part of what a segment begins with, so that
/// a start reads at most one segment to have it again.
struct ProducerTable {
  final class Entry {
    let hub: String
    let producer: String
    /// The number that the next event must have, and the sequence of the last record: as of the last commit.
    var next: UInt64
    var lastSequence: UInt64?
    /// The same with the commits that are not settled.
    var pendingNext: UInt64
    var pendingLast: UInt64?
    /// Whether the commit that is made has events of it, and the one that is being stored.
    var isPending = false
    var isUnderWay = false
    var isForgotten = false
    /// The connection that said hello last: what an older one still has on its way would be taken for its numbers.
    var holder: ObjectIdentifier?
    /// Counts up with every use of any entry.
    var lastUse: UInt64 = 0

    init(hub: String, producer: String, next: UInt64, lastSequence: UInt64?) {
      self.hub = hub
      self.producer = producer
      self.next = next
      self.lastSequence = lastSequence
      pendingNext = next
      pendingLast = lastSequence
    }
  }

  private struct Key: Hashable {
    var hub: String
    var producer: String
  }

  private var entries: [Key: Entry] = [:]
  private var pending: [Entry] = []
  /// What the commit that is being stored does: the same for each entry as `pendingNext` and `pendingLast` when it was handed over.
  private var underWay: [(entry: Entry, next: UInt64, last: UInt64?)] = []
  private var uses: UInt64 = 0
  private let limit: Int

  /// - Parameter limit: number of producers to remember.
  init(limit: Int) { self.limit = limit }

  /// The entry of a source's producer, made when there is none; `nil` for a source without a producer.
  mutating func entry(for source: AppendSource) -> Entry? {
    uses += 1
    if let entry = source.producer, !entry.isForgotten {
      entry.lastUse = uses
      return entry
    }
    guard let producer = source.origin.producer else { return nil }
    let entry = entry(hub: source.origin.hub, producer: producer)
    source.producer = entry
    return entry
  }

  private mutating func entry(hub: String, producer: String) -> Entry {
    let key = Key(hub: hub, producer: producer)
    if let entry = entries[key] {
      entry.lastUse = uses
      return entry
    }
    if entries.count >= limit { forgetIdlest() }
    let entry = Entry(hub: hub, producer: producer, next: 1, lastSequence: nil)
    entry.lastUse = uses
    entries[key] = entry
    return entry
  }

  private mutating func forgetIdlest() {
    let idlest = entries.values.filter { !$0.isPending && !$0.isUnderWay }.sorted { one, other in
      // Those that only ever said hello go first.
      let (isUsed, isOtherUsed) = (one.next > 1, other.next > 1)
      return isUsed == isOtherUsed ? one.lastUse < other.lastUse : !isUsed
    }.prefix(max(1, limit / 8))
    for entry in idlest {
      entry.isForgotten = true
      entries[Key(hub: entry.hub, producer: entry.producer)] = nil
    }
  }

  /// Notes what the commit that is made does to a producer.
  mutating func advance(_ entry: Entry, next: UInt64, lastSequence: UInt64?) {
    if !entry.isPending {
      entry.isPending = true
      pending.append(entry)
    }
    entry.pendingNext = next
    if let lastSequence { entry.pendingLast = lastSequence }
  }

  /// The commit that was made goes to the store; the one before it is settled.
  mutating func handOver() {
    for entry in pending {
      entry.isPending = false
      entry.isUnderWay = true
      underWay.append((entry, entry.pendingNext, entry.pendingLast))
    }
    pending.removeAll(keepingCapacity: true)
  }

  /// The commit that was handed over is durable; or it is not, and then neither can be the one that was made after it.
  mutating func settle(durable: Bool) {
    for (entry, next, last) in underWay {
      entry.isUnderWay = false
      if durable {
        entry.next = next
        entry.lastSequence = last
      } else {
        Self.takeBack(entry)
      }
    }
    underWay.removeAll(keepingCapacity: true)
    if !durable { takeBackPending() }
  }

  /// The commit that was made is none.
  private mutating func takeBackPending() {
    for entry in pending {
      entry.isPending = false
      Self.takeBack(entry)
    }
    pending.removeAll(keepingCapacity: true)
  }

  private static func takeBack(_ entry: Entry) {
    entry.pendingNext = entry.next
    entry.pendingLast = entry.lastSequence
  }

  /// A producer says that all its numbers below `next` were answered. Between commits only.
  mutating func declare(_ entry: Entry, next: UInt64) {
    guard next > entry.next else { return }
    entry.next = next
    entry.pendingNext = next
  }

  /// Notes a record that is already in the log.
  mutating func replay(hub: String, producer: String, number: UInt64, sequence: UInt64) {
    uses += 1
    let entry = entry(hub: hub, producer: producer)
    entry.next = max(entry.next, number + 1)
    entry.lastSequence = sequence
    entry.pendingNext = entry.next
    entry.pendingLast = sequence
  }

  /// As of the last commit, idlest first.
  var encoded: [UInt8] {
    SequencerState(
      // One that has never had an event recorded is as good as unknown.
      producers: entries.values.filter { $0.next > 1 || $0.lastSequence != nil }.sorted { $0.lastUse < $1.lastUse }.map {
        SequencerState.Producer(hub: $0.hub, name: $0.producer, nextNumber: $0.next, lastSequence: $0.lastSequence)
      }
    ).encoded()
  }

  mutating func restore(_ bytes: [UInt8]) throws(SchemaError) {
    for producer in try SequencerState(encoded: bytes).producers {
      uses += 1
      let entry = entry(hub: producer.hub, producer: producer.name)
      entry.next = producer.nextNumber
      entry.pendingNext = entry.next
      entry.lastSequence = producer.lastSequence
      entry.pendingLast = entry.lastSequence
    }
  }
}
