import AuditSchema
import MerkleTree

/// The position of a follower across connections. A value: it decides where to resume, and detects another or an older log.
package struct FollowCursor {
  private let start: Start
  /// Whether records may be passed over: by a filter, or by the rights of an identity.
  private var maySkip: Bool
  private var logID: [UInt8]?
  /// The caller's knowledge of the log, from before the first connection.
  private let initialHistory: LogHistory?
  /// Where to resume; `nil` while that is unknown.
  private var followed: FollowedPosition?

  /// - Parameter history: the log up to `start`, as the caller last knew it.
  package init(start: Start, history: LogHistory? = nil, isFiltered: Bool) {
    self.start = start
    maySkip = isFiltered
    initialHistory = history
    logID = history?.logID
  }

  /// Whether there was a connection, which may be lost by now.
  package private(set) var isConnected = false

  /// The sequence of the next record; `nil` while it is unknown.
  package var position: UInt64? { followed?.next }

  /// The log as known now, to resume from later; `nil` while nothing is known.
  package var history: LogHistory? { logID.flatMap { logID in followed.map { $0.history(of: logID) } } ?? initialHistory }

  /// Checks the log of a new connection.
  ///
  /// - Returns: where to subscribe, and the history that the server must confirm.
  /// - Throws: `otherLog`; `refused(.historyDiffers)` if the log ends before the position; `refused(.invalidRequest)` if it begins after
  ///   it.
  package mutating func connected(_ welcome: Welcome) throws(ClientError) -> (start: Start, history: LogHistory?) {
    if let logID, logID != welcome.logID {
      throw ClientError(
        .otherLog,
        "the server has log \(Hex.encode(welcome.logID)), but the followed log is \(Hex.encode(logID)); check the server's address")
    }
    logID = welcome.logID
    if welcome.identity != Welcome.anonymous { maySkip = true }
    isConnected = true
    // `.latest` means another position on each connection.
    if followed == nil, case .latest = start { followed = FollowedPosition(next: welcome.nextSequence, leafHash: nil) }
    guard let position else { return (start, initialHistory) }
    guard position >= welcome.firstSequence else {
      throw ClientError(
        RequestError(
          .invalidRequest,
          "cannot resume at sequence \(position): the log now begins at \(welcome.firstSequence); the records between are gone"))
    }
    guard position <= welcome.nextSequence else {
      throw ClientError(
        RequestError(
          .historyDiffers,
          "cannot resume at sequence \(position): the log ends at \(welcome.nextSequence), so it is an older copy; was a backup restored?",
          differsFrom: welcome.nextSequence))
    }
    return (.sequence(position), history)
  }

  /// Moves the position to `next` as an event is delivered.
  ///
  /// - Throws: `protocolViolation` if the server skipped or repeated a record.
  package mutating func advance(past event: FollowEvent, to next: FollowedPosition?) throws(ClientError) {
    if case .record(let record) = event, let position {
      guard maySkip ? record.sequence >= position : record.sequence == position else {
        throw ClientError(
          .protocolViolation, "the server sent record \(record.sequence) instead of \(position); the log cannot be followed further")
      }
    }
    if let next, next.next >= position ?? 0 { followed = next }
  }
}
