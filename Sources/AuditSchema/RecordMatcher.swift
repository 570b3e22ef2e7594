/// A filter made ready to be asked about encoded records, without decoding them. Copies share its memory.
///
/// Two are equal when they want the same records: values are in order and without repetition.
package struct RecordMatcher: Sendable, Hashable {
  package enum Match: Sendable {
    case no
    case yes
    /// The header matches and the body, which the filter asks about, was erased: nobody can tell any more.
    case erased
  }

  private let kinds: FilterValues
  private let hubs: FilterValues
  private let agents: FilterValues
  private let channels: FilterValues
  private let tasks: FilterValues
  /// Unix time in ns of the receipt, half-open.
  package let since: UInt64?
  package let until: UInt64?
  private let looksIntoBody: Bool
  /// What it asks a search index; `nil` when there is nothing by which records could be ruled out.
  package let terms: SearchTerms?

  package init(_ filter: RecordFilter) {
    kinds = FilterValues(filter.kinds)
    hubs = FilterValues(filter.hubs)
    agents = FilterValues(filter.agents)
    channels = FilterValues(filter.channels)
    tasks = FilterValues(filter.tasks)
    since = filter.since
    until = filter.until
    looksIntoBody = !(agents.isEmpty && channels.isEmpty && tasks.isEmpty)
    let terms = SearchTerms(filter)
    self.terms = terms.isEmpty ? nil : terms
  }

  /// Bytes of memory that it holds, with the search terms.
  package var memoryBytes: Int {
    [kinds, hubs, agents, channels, tasks].reduce(Self.ownBytes) { $0 + $1.memoryBytes }
  }

  /// The structure itself, the object around it and its place in a table.
  private static let ownBytes = 512

  package static func == (one: RecordMatcher, other: RecordMatcher) -> Bool {
    one.kinds == other.kinds && one.hubs == other.hubs && one.agents == other.agents && one.channels == other.channels
      && one.tasks == other.tasks && one.since == other.since && one.until == other.until
  }

  package func hash(into hasher: inout Hasher) {
    for values in [kinds, hubs, agents, channels, tasks] { hasher.combine(values) }
    hasher.combine(since)
    hasher.combine(until)
  }

  /// - Parameter record: the bytes of a `Record`, without tag and length. An erased body matches no agent, channel or task.
  package func matches(_ record: UnsafeRawBufferPointer) -> Bool { match(record) == .yes }

  /// - Parameter record: the bytes of a `Record`, without tag and length.
  package func match(_ record: UnsafeRawBufferPointer) -> Match {
    var fields = WireReader(record)
    guard let header = RecordValues.header(&fields), matchesHeader(header) else { return .no }
    guard looksIntoBody else { return .yes }
    guard let body = RecordValues.body(&fields) else { return .erased }
    return matchesBody(body) ? .yes : .no
  }

  private func matchesHeader(_ header: UnsafeRawBufferPointer) -> Bool {
    var hub = hubs.isEmpty
    var kind = kinds.isEmpty
    var isInTime = true
    RecordValues.forEach(inHeader: header) { field, bytes in
      switch field {
      case .hub: if !hub { hub = hubs.contains(bytes) }
      default: if !kind { kind = kinds.contains(bytes) }
      }
    } receivedAt: { time in
      isInTime = time >= since ?? 0 && time < until ?? .max
      return isInTime
    }
    return isInTime && hub && kind
  }

  private func matchesBody(_ body: UnsafeRawBufferPointer) -> Bool {
    var agent = agents.isEmpty
    var channel = channels.isEmpty
    var task = tasks.isEmpty
    RecordValues.forEach(inBody: body) { field, bytes in
      switch field {
      case .channel: if !channel { channel = channels.contains(bytes) }
      case .task: if !task { task = tasks.contains(bytes) }
      default: if !agent { agent = agents.contains(bytes) }
      }
    }
    return agent && channel && task
  }
}

/// The values of one field of a filter: a set of byte strings in three pieces of memory, however many there are.
struct FilterValues: Sendable, Hashable {
  /// The values one behind the other, in order, and where each ends.
  private let bytes: [UInt8]
  private let ends: [UInt32]
  /// Positions of values, from 1, by hash; 0 is free. At most half of them are taken. Empty where there are few values: they are compared
  /// one by one.
  private let slots: [UInt32]

  private static let fewValues = 4

  init(_ values: [String]) {
    // Bytes, not text: two strings that Swift calls equal may be written differently, and are different values then.
    let sorted = Set(values.map { Array($0.utf8) }).sorted { $0.lexicographicallyPrecedes($1) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(sorted.reduce(0) { $0 + $1.count })
    var ends: [UInt32] = []
    ends.reserveCapacity(sorted.count)
    for value in sorted {
      bytes.append(contentsOf: value)
      ends.append(UInt32(bytes.count))
    }
    self.bytes = bytes
    self.ends = ends
    guard sorted.count > Self.fewValues else {
      slots = []
      return
    }
    var size = 16
    while size < 2 * sorted.count { size *= 2 }
    var slots = [UInt32](repeating: 0, count: size)
    bytes.withUnsafeBytes { bytes in
      var start = 0
      for (index, end) in ends.enumerated() {
        var slot = Self.hash(UnsafeRawBufferPointer(rebasing: bytes[start..<Int(end)])) & (size - 1)
        while slots[slot] != 0 { slot = (slot + 1) & (size - 1) }
        slots[slot] = UInt32(index + 1)
        start = Int(end)
      }
    }
    self.slots = slots
  }

  var isEmpty: Bool { ends.isEmpty }

  /// With 8 bytes for each value's search term.
  var memoryBytes: Int { isEmpty ? 0 : bytes.count + 12 * ends.count + 4 * slots.count + 128 }

  static func == (one: FilterValues, other: FilterValues) -> Bool { one.ends == other.ends && one.bytes == other.bytes }

  func hash(into hasher: inout Hasher) { hasher.combine(bytes) }

  func contains(_ value: UnsafeRawBufferPointer) -> Bool {
    guard !slots.isEmpty else { return ends.indices.contains { holds(value, at: $0) } }
    var slot = Self.hash(value) & (slots.count - 1)
    while slots[slot] != 0 {
      if holds(value, at: Int(slots[slot]) - 1) { return true }
      slot = (slot + 1) & (slots.count - 1)
    }
    return false
  }

  private func holds(_ value: UnsafeRawBufferPointer, at index: Int) -> Bool {
    let start = index == 0 ? 0 : Int(ends[index - 1])
    let end = Int(ends[index])
    guard end - start == value.count else { return false }
    return bytes.withUnsafeBytes { UnsafeRawBufferPointer(rebasing: $0[start..<end]).elementsEqual(value) }
  }

  /// Seeded for each process: nobody can choose values that collide.
  private static func hash(_ value: UnsafeRawBufferPointer) -> Int {
    var hasher = Hasher()
    hasher.combine(bytes: value)
    return hasher.finalize()
  }
}
