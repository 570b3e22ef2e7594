/// Selects records. A record must match every non-empty field; it matches a field if it has one of its values.
public struct RecordFilter: Sendable, Equatable {
  public var kinds: [String] = []
  public var hubs: [String] = []
  /// Compared with agent_id, owner_id, creator_id, and each of participants and violators.
  public var agents: [String] = []
  public var channels: [String] = []
  public var tasks: [String] = []
  /// Bounds of the server's receipt time t in Unix ns: `since <= t < until`. `nil`: no bound.
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

  /// Number of values in all lists, and their bytes. The server's `filter_values` and `filter_bytes` limit them.
  package var valueCount: Int { kinds.count + hubs.count + agents.count + channels.count + tasks.count }
  package var valueBytes: Int { [kinds, hubs, agents, channels, tasks].joined().reduce(0) { $0 + $1.utf8.count } }

  /// Whether every record matches.
  public var isEmpty: Bool { self == RecordFilter() }
}
