// AuditBench: load for a running server, and what it measures.
//
// A run connects everybody, waits until every subscriber has caught up, lets all of them go at once, and ends when what was sent is answered
// and delivered. It uses AuditClient, one connection for each client, subscriber and reader, spread over the event loops. Beside subscribers or
// readers the appenders have an event loop of their own: a hub is not the process that receives what a thousand others are sent, and an answer
// that waited in its socket until all of that was read would be counted as the server's.
//
// - `BenchPlan` says what to do, `BenchRun` does it, `BenchReport` is what comes out.
// - `Appender` sends events that were encoded before the clock started (`EventSupply`): what is measured is the server, and a client's way
//   from bytes to answer. Closed loop: as many events as the window holds are under way, an answer sends the next. Open loop: each append
//   has a time at which it is due and its latency counts from there, whether or not it could be sent then, so that a server that stops for
//   a second is charged for every append of that second.
// - `Subscriber` takes batches as they arrive, sees that no sequence is missing or repeated, and reads the event's own time (`at`), which is
//   when it was sent, or due: append-to-delivery, across processes too as long as they share a clock.
//
// Every answer follows the sync of what it answers: the protocol has no other.

/// What a run is to do.
public struct BenchPlan: Sendable {
  /// Connections that append, each as a hub of its own, and how many events each may have unanswered.
  public var appenders = 0
  public var inFlight = 1
  /// Events of one append.
  public var batch = 1
  /// Events a second of all appenders together; `nil`: as fast as answers come.
  public var rate: Double?
  /// Bytes of an encoded event.
  public var eventBytes = 200
  /// One event in so many is about the agent `rareAgent`, for searches; a multiple of `batch`. `nil`: none.
  public var rareEvery: Int?
  public static let rareAgent = "rare-agent"
  /// Connections that follow the log from its end.
  public var subscribers = 0
  /// Subscribers share so many different filters, each for one channel of this many; 0: they are sent everything.
  public var filters = 0
  /// Connections that read the log from its start.
  public var readers = 0
  /// Events to append in all, or records for each reader; with it, a run ends when they are done.
  public var records: UInt64?
  public var duration = Duration.seconds(5)
  /// Not measured, before `duration`.
  public var warmUp = Duration.milliseconds(500)
  /// Bytes that may be on the way to one subscriber or reader.
  public var creditBytes = 4 << 20

  public init() {}

  /// Whether the appenders have a thread of their own: where others receive.
  public var separatesAppenders: Bool { appenders > 0 && subscribers + readers > 0 }
}

/// What a run cannot go on with.
public struct BenchError: Error, CustomStringConvertible {
  public let description: String
}
