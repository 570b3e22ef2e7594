import AuditSchema
import MerkleTree

/// Where somebody is who follows a log across connections. A value: it decides where to resume and what is not the log that was followed.
package struct FollowCursor {
  private let start: Start
  private let isFiltered: Bool
  private var logID: [UInt8]?
  /// What was known before the first connection.
  private let brought: LogHistory?
  /// Where to go on; `nil` before anything is known of it.
  private var followed: FollowedPosition?

  /// - Parameter history: what is known of the log as of `start`.
  package init(start: Start, history: LogHistory? = nil, isFiltered: Bool) {
    self.start = start
    self.isFiltered = isFiltered
    brought = history
    logID = history?.logID
  }

  /// Whether there was a connection before.
  package private(set) var isConnected = false

  /// The position of the next record to look at; `nil` before anything is known of it.
  package var position: UInt64? { followed?.next }

  /// What is known of the log, to go on with later; `nil` before anything is.
  package var history: LogHistory? { logID.flatMap { logID in followed.map { $0.history(of: logID) } } ?? brought }

  /// A connection was made.
  ///
  /// - Returns: where to subscribe, and what to have the server compare.
  /// - Throws: `otherLog`; `refused(.historyDiffers)` when the log does not hold the position yet; `refused(.invalidRequest)` when it no longer does.
  package mutating func connected(_ welcome: Welcome) throws(ClientError) -> (start: Start, history: LogHistory?) {
    if let logID, logID != welcome.logID {
      throw ClientError(
        .otherLog, "the server now has log \(Hex.encode(welcome.logID)) and log \(Hex.encode(logID)) was followed; check where it points")
    }
    logID = welcome.logID
    isConnected = true
    // A later connection would take it for a later position.
    if followed == nil, case .latest = start { followed = FollowedPosition(next: welcome.nextSequence, leafHash: nil) }
    guard let position else { return (start, brought) }
    guard position >= welcome.firstSequence else {
      throw ClientError(
        RequestError(
          .invalidRequest,
          "the log begins at sequence \(welcome.firstSequence) now and \(position) is where to resume; the records between are gone"))
    }
    guard position <= welcome.nextSequence else {
      throw ClientError(
        RequestError(
          .historyDiffers,
          "sequence \(position) was reached and the log now ends at \(welcome.nextSequence): an older copy of it; check what was restored",
          differsFrom: welcome.nextSequence))
    }
    return (.sequence(position), history)
  }

  /// An event is handed out, after which the position is `next`.
  ///
  /// - Throws: `protocolViolation` when the server skipped or repeated something.
  package mutating func advance(past event: FollowEvent, to next: FollowedPosition?) throws(ClientError) {
    if case .record(let record) = event, let position {
      guard isFiltered ? record.sequence >= position : record.sequence == position else {
        throw ClientError(
          .protocolViolation, "the server sent record \(record.sequence) where \(position) was due; the log cannot be followed further")
      }
    }
    if let next, next.next >= position ?? 0 { followed = next }
  }
}
