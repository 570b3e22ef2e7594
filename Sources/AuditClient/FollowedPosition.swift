import AuditSchema

/// A position in a log, and the record before it or its leaf hash, where either is known. The hash of a record is made when it is asked for.
package struct FollowedPosition: Sendable {
  private enum Before {
    case unknown
    case record(Record)
    case leafHash([UInt8])
  }

  /// The position of the next record to look at.
  package let next: UInt64
  private let before: Before

  /// - Parameter leafHash: of record `next - 1`.
  package init(next: UInt64, leafHash: [UInt8]?) {
    self.next = next
    before = leafHash.map { .leafHash($0) } ?? .unknown
  }

  package init(after record: Record) {
    next = record.sequence + 1
    before = .record(record)
  }

  /// Goes on to a position that the server told; what is known of this one is kept where it is the same.
  package func advanced(to next: UInt64, leafHash: [UInt8]?) -> FollowedPosition {
    next == self.next && leafHash == nil ? self : FollowedPosition(next: next, leafHash: leafHash)
  }

  /// What to tell a server of log `logID` that is to go on here.
  package func history(of logID: [UInt8]) -> LogHistory {
    let leafHash: [UInt8]? =
      switch before {
      case .unknown: nil
      case .record(let record): record.leafHash
      case .leafHash(let hash): hash
      }
    return LogHistory(logID: logID, size: next, leafHash: leafHash)
  }
}
