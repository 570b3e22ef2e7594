// AuditBench: load for a running server, and what it measures.
//
// A run connects all participants, waits until every subscriber has caught up, starts all at once, and ends when all that was sent is
// answered and delivered. Each appender, subscriber and reader has its own AuditClient connection; the connections share the event loops.
// If there are subscribers or readers, the appenders get a separate event loop: otherwise answers would wait in the socket while the loop
// reads deliveries, and that time would count as the server's latency.
//
// - `BenchPlan` is the input, `BenchRun` the run, `BenchReport` the result.
// - `Appender` sends events that were encoded before the run (`EventSupply`), so the cost of encoding is not measured. Closed loop: the
//   window's number of events is in flight, and each answer sends the next. Open loop: each append has a due time, and its latency counts
//   from then even if it is sent later; so a server that stalls for a second pays for every append of that second.
// - `Subscriber` receives batches, checks that no sequence is missing or repeated, and reads the event's own time (`at`), at which it was
//   sent or due. This gives the latency from append to delivery, also across processes that share a clock.
//
// The server answers an append only after its sync; the protocol has no weaker mode.

/// The plan of a run.
public struct BenchPlan: Sendable {
  /// Number of connections that append, each as a separate hub, and the maximum number of unanswered events of each.
  public var appenders = 0
  public var inFlight = 1
  /// Number of events of an append.
  public var batch = 1
  /// Events per second of all appenders together (open loop); `nil`: as fast as answers come (closed loop).
  public var rate: Double?
  /// Bytes of an encoded event.
  public var eventBytes = 200
  /// One event in this many is about the agent `rareAgent`, for searches. A multiple of `batch`; `nil`: none.
  public var rareEvery: Int?
  public static let rareAgent = "rare-agent"
  /// Number of connections that follow the log from its end.
  public var subscribers = 0
  /// Number of different filters of the subscribers, each for one of as many channels; 0: no filter.
  public var filters = 0
  /// Number of connections that read the log from its start.
  public var readers = 0
  /// Number of events to append in total, or of records for each reader. The run ends when they are done; `nil`: it ends by time.
  public var records: UInt64?
  public var duration = Duration.seconds(5)
  /// Time before `duration` that is not measured.
  public var warmUp = Duration.milliseconds(500)
  /// Maximum bytes in flight to one subscriber or reader.
  public var creditBytes = 4 << 20

  public init() {}

  /// Whether the appenders get a separate thread: if there are subscribers or readers.
  public var separatesAppenders: Bool { appenders > 0 && subscribers + readers > 0 }
}

/// Why a run cannot continue.
public struct BenchError: Error, CustomStringConvertible {
  public let description: String
}
