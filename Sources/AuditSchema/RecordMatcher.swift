/// A compiled filter that matches encoded records without decoding them. Copies share its memory.
///
/// Equal filters select the same records: values are sorted and unique.
package struct RecordMatcher: Sendable, Hashable {
  package enum Match: Sendable {
    case no
    case yes
    /// The header matches, but the filter also selects by the body, which is erased.
    case erased
  }

  private let kinds: FilterValues
  private let hubs: FilterValues
  private let agents: FilterValues
  private let channels: FilterValues
  private let tasks: FilterValues
  /// Bounds of the receipt time in Unix ns, half-open.
  package let since: UInt64?
  package let until: UInt64?
  /// The records that its user may read; `nil`: all.
  private let rights: ReadRights?
  private let looksIntoBody: Bool
  /// The query for a search index; `nil` if an index cannot exclude any record.
  package let terms: SearchTerms?

  /// - Parameter rights: records that these do not allow do not match; `nil`: every record is allowed.
  package init(_ filter: RecordFilter, rights: ReadRights? = nil) {
    self.rights = rights
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

  /// The rights, if they alone decide which records match.
  package var onlyRights: ReadRights? {
    let selects = looksIntoBody || !kinds.isEmpty || !hubs.isEmpty || since != nil || until != nil
    return selects ? nil : rights
  }

  /// Bytes of memory of this filter, with its search terms.
  package var memoryBytes: Int {
    [kinds, hubs, agents, channels, tasks].reduce(Self.ownBytes + (rights?.memoryBytes ?? 0)) { $0 + $1.memoryBytes }
  }

  /// Bytes for the structure itself, its heap object and its table entry.
  private static let ownBytes = 512

  package static func == (one: RecordMatcher, other: RecordMatcher) -> Bool {
    one.kinds == other.kinds && one.hubs == other.hubs && one.agents == other.agents && one.channels == other.channels
      && one.tasks == other.tasks && one.since == other.since && one.until == other.until && one.rights == other.rights
  }

  package func hash(into hasher: inout Hasher) {
    for values in [kinds, hubs, agents, channels, tasks] { hasher.combine(values) }
    hasher.combine(since)
    hasher.combine(until)
    hasher.combine(rights)
  }

  /// Whether the record matches. An erased body matches no agent, channel or task.
  ///
  /// - Parameter record: a `Record` without tag and length.
  package func matches(_ record: UnsafeRawBufferPointer) -> Bool { match(record) == .yes }

  /// - Parameter record: a `Record` without tag and length.
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
    var names: (hub: UnsafeRawBufferPointer?, kind: UnsafeRawBufferPointer?) = (nil, nil)
    RecordValues.forEach(inHeader: header) { field, bytes in
      switch field {
      case .hub:
        names.hub = bytes
        if !hub { hub = hubs.contains(bytes) }
      default:
        names.kind = bytes.baseAddress == nil ? nil : bytes
        if !kind { kind = kinds.contains(bytes) }
      }
    } receivedAt: { time in
      isInTime = time >= since ?? 0 && time < until ?? .max
      return isInTime
    }
    guard isInTime, hub, kind else { return false }
    guard let rights else { return true }
    return rights.allows(hub: names.hub ?? UnsafeRawBufferPointer(start: nil, count: 0), kind: names.kind)
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

/// The values of one filter field: a set of byte strings, stored in three arrays for any number of values.
struct FilterValues: Sendable, Hashable {
  /// The sorted values back to back, and the end offset of each.
  private let bytes: [UInt8]
  private let ends: [UInt32]
  /// Hash table of value indices, counted from 1; 0 is a free slot. At most half full. Empty for few values, which are compared one by one.
  private let slots: [UInt32]

  private static let fewValues = 4

  init(_ values: [String]) {
    // Compared as bytes: Swift treats canonically equivalent strings as equal, but they are different values.
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

  /// Bytes of memory, including 8 bytes for each value's search term.
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

  /// The hash has a random seed per process, so that clients cannot choose colliding values.
  private static func hash(_ value: UnsafeRawBufferPointer) -> Int {
    var hasher = Hasher()
    hasher.combine(bytes: value)
    return hasher.finalize()
  }
}
