import AuditSchema
import Logging

/// Follows a log for as long as it is iterated: replays it from a position, goes live, and when the connection breaks makes another one and
/// goes on exactly where it was. Every matching record comes once, in order.
///
/// It is pulled: nothing runs between two calls of `next` but the connection, on which the server sends at most `creditBytes` (and one
/// record) ahead. What trying again cannot mend is thrown: a position beyond the end of the log, another log at the same address
/// (`otherLog`), an older copy of it or one that went on differently (`refused(.historyDiffers)`), a right that is missing, damage.
public struct LogFollower: AsyncSequence, Sendable {
  public typealias Element = FollowEvent
  public typealias Failure = ClientError

  let configuration: ClientConfiguration
  let start: Start
  let history: LogHistory?
  let filter: RecordFilter
  let creditBytes: Int
  let logger: Logger

  /// - Parameters:
  ///   - history: what is known of the log from before, with `start` its position: a log that is another, or went on differently, is refused.
  ///   - creditBytes: at most what the server's limits allow (64 MiB by default).
  public init(
    configuration: ClientConfiguration, from start: Start = .earliest, history: LogHistory? = nil, filter: RecordFilter = RecordFilter(),
    creditBytes: Int = 1 << 20, logger: Logger = Logger(label: "hubaudit.client")
  ) {
    self.configuration = configuration
    self.start = start
    self.history = history
    self.filter = filter
    self.creditBytes = creditBytes
    self.logger = logger
  }

  /// The records of a log and what else its followers hear.
  public static func records(
    of configuration: ClientConfiguration, from start: Start = .earliest, history: LogHistory? = nil,
    filter: RecordFilter = RecordFilter(), creditBytes: Int = 1 << 20
  ) -> LogFollower {
    LogFollower(configuration: configuration, from: start, history: history, filter: filter, creditBytes: creditBytes)
  }

  public func makeAsyncIterator() -> Iterator { Iterator(self) }

  public struct Iterator: AsyncIteratorProtocol {
    public typealias Failure = ClientError

    private let follower: LogFollower
    private var cursor: FollowCursor
    private var backoff: Backoff
    private var subscription: LogSubscription.Iterator?
    private var client: AuditClient?
    private var lost: ClientError?
    /// Erased records that were passed over, on all connections, as of the last `caughtUp` or `progress`: nobody can tell any more whether they
    /// matched the filter.
    public private(set) var erasedSkipped: UInt64 = 0

    init(_ follower: LogFollower) {
      self.follower = follower
      cursor = FollowCursor(start: follower.start, history: follower.history, isFiltered: !follower.filter.isEmpty)
      backoff = Backoff(follower.configuration.reconnect)
    }

    /// What is known of the log as of the last event: where to resume later, also from another process. `nil` before anything is known.
    public var history: LogHistory? { cursor.history }

    public mutating func next(isolation actor: isolated (any Actor)? = #isolation) async throws(ClientError) -> FollowEvent? {
      while true {
        do throws(ClientError) {
          guard var current = subscription else {
            if let event = try await reconnect() { return event }
            continue
          }
          subscription = nil
          let before = current.erasedSkipped
          let event = try await current.next()
          erasedSkipped += current.erasedSkipped - Swift.min(before, current.erasedSkipped)
          let position = current.position
          subscription = current
          guard let event else { throw ClientError(.connectionLost, "the server ended the subscription without a reason") }
          try cursor.advance(past: event, to: position)
          backoff.reset()
          return event
        } catch {
          try await handle(error)
        }
      }
    }

    /// Connects, after the pause that is due.
    ///
    /// - Returns: what to tell of it; `nil` for the first connection.
    private nonisolated(nonsending) mutating func reconnect() async throws(ClientError) -> FollowEvent? {
      if lost != nil || backoff.attempts > 0 {
        do {
          try await Task.sleep(for: backoff.next())
        } catch {
          throw ClientError.cancelled
        }
      }
      let client = try await AuditClient.connect(follower.configuration, logger: follower.logger)
      self.client = client
      let (start, history) = try cursor.connected(client.welcome)
      let credit = Swift.min(UInt64(Swift.max(1, follower.creditBytes)), client.welcome.limits.creditBytes)
      subscription =
        client.subscribe(from: start, history: history, filter: follower.filter, creditBytes: Int(credit)).makeAsyncIterator()
      guard let lost else { return nil }
      self.lost = nil
      return .reconnected(next: cursor.position, after: lost)
    }

    /// - Throws: the error when trying again cannot mend it.
    private nonisolated(nonsending) mutating func handle(_ error: ClientError) async throws(ClientError) {
      subscription = nil
      let client = client
      self.client = nil
      await client?.close()
      guard error.isRetryable, cursor.isConnected || follower.configuration.reconnect.retriesFirstConnection else { throw error }
      if lost == nil {
        follower.logger.warning(
          "following was interrupted and goes on",
          metadata: ["next": "\(place)", "reason": "\(error.message)"])
      }
      if cursor.isConnected { lost = lost ?? error } else if backoff.attempts == 0 { _ = backoff.next() }
    }

    /// Where it goes on, for people. Not inlined: Swift 6.3.1 ends in an assertion of its own when it optimises `handle` with this in it.
    @inline(never)
    private var place: String {
      guard let next = cursor.position else { return "start" }
      return "\(next)"
    }
  }
}
