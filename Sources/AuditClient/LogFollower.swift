import AuditSchema
import Logging

/// Follows a log while it is iterated: replays it from a position, goes live, and reconnects when the connection is lost. Every
/// matching record comes once, in order.
///
/// The consumer pulls: between two calls of `next`, the server sends at most `creditBytes` of records and one more. Errors that a new
/// attempt cannot remove are thrown: a start beyond the end of the log, another log at the address (`otherLog`), an older or diverged copy
/// (`refused(.historyDiffers)`), a missing right, damaged records.
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
  ///   - configuration: the server. Its `reconnect` sets the delays, and whether the first connection is retried.
  ///   - start: the first record.
  ///   - history: the log up to `start`, as the caller last knew it. Fails with `historyDiffers` or `otherLog` if the log does not contain
  ///     it.
  ///   - filter: selects records; the default selects all.
  ///   - creditBytes: maximum bytes of records that the server sends ahead, at least 1; lowered to the server's limit (64 MiB by default).
  ///   - logger: reports lost connections.
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

  /// The same as the initializer, with the default logger.
  public static func records(
    of configuration: ClientConfiguration, from start: Start = .earliest, history: LogHistory? = nil,
    filter: RecordFilter = RecordFilter(), creditBytes: Int = 1 << 20
  ) -> LogFollower {
    LogFollower(configuration: configuration, from: start, history: history, filter: filter, creditBytes: creditBytes)
  }

  public func makeAsyncIterator() -> Iterator { Iterator(self) }

  /// One run over the log, with its position. For one task at a time.
  public struct Iterator: AsyncIteratorProtocol {
    public typealias Failure = ClientError

    private let follower: LogFollower
    private var cursor: FollowCursor
    private var backoff: Backoff
    private var subscription: LogSubscription.Iterator?
    private var client: AuditClient?
    private var lost: ClientError?
    /// The reason that was reported last, about credentials.
    private var reported: String?
    /// Number of erased records skipped on all connections, as of the last `caughtUp` or `progress`. Whether they matched the filter is no
    /// longer known.
    public private(set) var erasedSkipped: UInt64 = 0

    init(_ follower: LogFollower) {
      self.follower = follower
      cursor = FollowCursor(start: follower.start, history: follower.history, isFiltered: !follower.filter.isEmpty)
      backoff = Backoff(follower.configuration.reconnect)
    }

    /// The log as of the last event, to resume from later, also in another process. `nil` while nothing is known.
    public var history: LogHistory? { cursor.history }

    /// The next event. Waits for one, and reconnects as needed; never returns `nil`.
    ///
    /// - Throws: the errors that a new attempt cannot remove, and `cancelled`.
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

    /// Connects, after the backoff delay.
    ///
    /// - Returns: `reconnected`; `nil` for the first connection.
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
      reported = nil
      let (start, history) = try cursor.connected(client.welcome)
      let credit = Swift.min(UInt64(Swift.max(1, follower.creditBytes)), client.welcome.limits.creditBytes)
      subscription =
        client.subscribe(from: start, history: history, filter: follower.filter, creditBytes: Int(credit)).makeAsyncIterator()
      guard let lost else { return nil }
      self.lost = nil
      return .reconnected(next: cursor.position, after: lost)
    }

    /// Closes the connection after an error.
    ///
    /// - Throws: the error, if it is not retryable.
    private nonisolated(nonsending) mutating func handle(_ error: ClientError) async throws(ClientError) {
      subscription = nil
      let client = client
      self.client = nil
      await client?.close()
      guard error.isRetryable || error.isAboutCredentials,
        cursor.isConnected || follower.configuration.reconnect.retriesFirstConnection
      else { throw error }
      if error.isAboutCredentials {
        if reported != error.message {
          follower.logger.error(
            "not connected: the credentials are not accepted; new ones are tried",
            metadata: ["next": "\(place)", "reason": "\(error.message)"])
        }
        reported = error.message
      } else if lost == nil {
        follower.logger.warning(
          "connection lost; reconnecting",
          metadata: ["next": "\(place)", "reason": "\(error.message)"])
      }
      if cursor.isConnected { lost = lost ?? error } else if backoff.attempts == 0 { _ = backoff.next() }
    }

    /// The resume position, for the log. Not inlined: the optimizer of Swift 6.3.1 crashes on `handle` with this inlined.
    @inline(never)
    private var place: String {
      guard let next = cursor.position else { return "start" }
      return "\(next)"
    }
  }
}
