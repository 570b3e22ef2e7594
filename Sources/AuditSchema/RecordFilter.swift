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

  /// Values in all lists, and their bytes: what the limits `filter_values` and `filter_bytes` count.
  package var valueCount: Int { kinds.count + hubs.count + agents.count + channels.count + tasks.count }
  package var valueBytes: Int { [kinds, hubs, agents, channels, tasks].joined().reduce(0) { $0 + $1.utf8.count } }

  /// Whether every record matches.
  public var isEmpty: Bool { self == RecordFilter() }
}
