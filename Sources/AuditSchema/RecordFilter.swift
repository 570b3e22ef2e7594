/// Which records a read or a subscription wants. Fields are ANDed, values within one field are ORed, empty fields match all.
public struct RecordFilter: Sendable, Equatable {
  public var kinds: [String] = []
  public var hubs: [String] = []
  /// Match agent_id, owner_id, creator_id, and any of participants and violators.
  public var agents: [String] = []
  public var channels: [String] = []
  public var tasks: [String] = []
  /// Unix time in ns of the server's receipt, half-open: `since <= t < until`.
  public var since: UInt64?
  public var until: UInt64?

  public init(
    kinds: [String] = [], hubs: [String] = [], agents: [String] = [], channels: [String] = [], tasks: [String] = [], since: UInt64? = nil,
    until: UInt64? = nil
  ) {
    self.kinds = kinds
    self.hubs = hubs
    self.agents = agents
    self.channels = channels
    self.tasks = tasks
    self.since = since
    self.until = until
  }

  /// Whether every record matches.
  public var isEmpty: Bool { self == RecordFilter() }
}

/// A filter made ready to be asked about encoded records, without decoding them.
package struct RecordMatcher: Sendable {
  private let kinds: [[UInt8]]
  private let hubs: [[UInt8]]
  private let agents: [[UInt8]]
  private let channels: [[UInt8]]
  private let tasks: [[UInt8]]
  private let since: UInt64
  private let until: UInt64
  private let looksIntoBody: Bool

  package init(_ filter: RecordFilter) {
    func encoded(_ values: [String]) -> [[UInt8]] { values.map { Array($0.utf8) } }
    kinds = encoded(filter.kinds)
    hubs = encoded(filter.hubs)
    agents = encoded(filter.agents)
    channels = encoded(filter.channels)
    tasks = encoded(filter.tasks)
    since = filter.since ?? 0
    until = filter.until ?? .max
    looksIntoBody = !(agents.isEmpty && channels.isEmpty && tasks.isEmpty)
  }

  /// - Parameter record: the bytes of a `Record`, without tag and length. An erased body matches no agent, channel or task.
  package func matches(_ record: UnsafeRawBufferPointer) -> Bool {
    var fields = WireReader(record)
    guard let header = RecordValues.header(&fields), matchesHeader(header) else { return false }
    guard looksIntoBody else { return true }
    guard let body = RecordValues.body(&fields) else { return false }
    return matchesBody(body)
  }

  private func matchesHeader(_ header: UnsafeRawBufferPointer) -> Bool {
    var hub = hubs.isEmpty
    var kind = kinds.isEmpty
    var isInTime = true
    RecordValues.forEach(inHeader: header) { field, bytes in
      switch field {
      case .hub: if !hub { hub = Self.contains(hubs, bytes) }
      default: if !kind { kind = Self.contains(kinds, bytes) }
      }
    } receivedAt: { time in
      isInTime = time >= since && time < until
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
      case .channel: if !channel { channel = Self.contains(channels, bytes) }
      case .task: if !task { task = Self.contains(tasks, bytes) }
      default: if !agent { agent = Self.contains(agents, bytes) }
      }
    }
    return agent && channel && task
  }

  private static func contains(_ values: [[UInt8]], _ bytes: UnsafeRawBufferPointer) -> Bool {
    values.contains { value in value.count == bytes.count && value.elementsEqual(bytes) }
  }
}
