import AuditSchema

/// An event of a followed log.
public enum FollowEvent: Sendable, Equatable {
  /// The next matching record.
  case record(Record)
  /// All stored records were delivered; later ones are live. `next`: the sequence to resume at.
  case caughtUp(next: UInt64)
  /// A filtered scan has reached `next` without a match.
  case progress(next: UInt64)
  /// The client reconnected after the error `after`. No record was missed. It continues at `next`; `nil`: at the original start.
  case reconnected(next: UInt64?, after: ClientError)
}
