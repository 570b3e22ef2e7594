import AuditSchema

/// Where somebody is who follows a log across connections. A value: it decides where to resume and what is not the log that was followed.
package struct FollowCursor {
  private let start: Start
  private let isFiltered: Bool
  private var logID: [UInt8]?
  /// The position of the next record to look at; `nil` before anything is known of it.
  package private(set) var position: UInt64?

  package init(start: Start, isFiltered: Bool) {
    self.start = start
    self.isFiltered = isFiltered
  }

  /// Whether there was a connection before.
  package var isConnected: Bool { logID != nil }

  /// A connection was made.
  ///
  /// - Returns: where to subscribe.
  /// - Throws: `otherLog`; `refused(.invalidRequest)` when the log no longer holds, or does not yet hold, the position.
  package mutating func connected(_ welcome: Welcome) throws(ClientError) -> Start {
    if let logID, logID != welcome.logID {
      throw ClientError(
        .otherLog, "the server now has log \(Self.hex(welcome.logID)) and log \(Self.hex(logID)) was followed; check where it points")
    }
    logID = welcome.logID
    // A later connection would take it for a later position.
    if position == nil, case .latest = start { position = welcome.nextSequence }
    guard let position else { return start }
    guard position >= welcome.firstSequence else {
      throw ClientError(
        SchemaError(
          .invalidRequest,
          "the log begins at sequence \(welcome.firstSequence) now and \(position) is where to resume; the records between are gone"))
    }
    guard position <= welcome.nextSequence else {
      throw ClientError(
        SchemaError(
          .invalidRequest,
          "sequence \(position) was reached and the log now ends at \(welcome.nextSequence): an older copy of it; check what was restored"))
    }
    return .sequence(position)
  }

  /// An event is handed out, after which the position is `next`.
  ///
  /// - Throws: `protocolViolation` when the server skipped or repeated something.
  package mutating func advance(past event: LogEvent, to next: UInt64?) throws(ClientError) {
    if case .record(let record) = event, let position {
      guard isFiltered ? record.sequence >= position : record.sequence == position else {
        throw ClientError(
          .protocolViolation, "the server sent record \(record.sequence) where \(position) was due; the log cannot be followed further")
      }
    }
    if let next { position = max(next, position ?? 0) }
  }

  private static func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
