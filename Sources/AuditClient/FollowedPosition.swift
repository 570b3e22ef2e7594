import AuditSchema

/// A position in a log, with the record before it or that record's leaf hash, if known. The hash of a record is computed on demand.
package struct FollowedPosition: Sendable {
  private enum Before {
    case unknown
    case record(Record)
    case leafHash([UInt8])
  }

  /// The sequence of the next record.
  package let next: UInt64
  private let before: Before

  /// - Parameter leafHash: of record `next - 1`; `nil`: unknown.
  package init(next: UInt64, leafHash: [UInt8]?) {
    self.next = next
    before = leafHash.map { .leafHash($0) } ?? .unknown
  }

  package init(after record: Record) {
    next = record.sequence + 1
    before = .record(record)
  }

  /// The position that the server reports. Keeps the known record or hash if the position is unchanged.
  package func advanced(to next: UInt64, leafHash: [UInt8]?) -> FollowedPosition {
    next == self.next && leafHash == nil ? self : FollowedPosition(next: next, leafHash: leafHash)
  }

  /// The history that a server must confirm before a follower resumes here.
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
