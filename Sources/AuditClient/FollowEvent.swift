import AuditSchema

/// What somebody hears who follows a log.
public enum FollowEvent: Sendable, Equatable {
  case record(Record)
  /// Everything that was in the log has been handed out; what follows is live. `next` is where to resume.
  case caughtUp(next: UInt64)
  /// A filtered scan has come this far without a match.
  case progress(next: UInt64)
  /// The connection was lost and made again; nothing was missed, and it goes on at `next` (`nil`: where it was to begin).
  case reconnected(next: UInt64?, after: ClientError)
}
