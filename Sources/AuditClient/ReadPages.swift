import AuditSchema

/// Divides a read into requests of about half a megabyte each, so that a consumer may take its time between them: a server cuts off a peer
/// that takes nothing of what was sent to it. A value that decides; its owner sends.
package struct ReadPages {
  private static let pageBytes = 512 << 10
  private static let firstPage: UInt64 = 32
  private static let largestPage: UInt64 = 8192

  private var request: ReadRequest
  /// The end of the log when the read began; forwards only.
  private let end: UInt64?
  private var left: UInt64
  private var page = Self.firstPage
  private var isAtEnd: Bool

  /// - Parameter end: the end of the log now, which a forward read does not pass; `nil` for a backward one, which cannot.
  package init(_ request: ReadRequest, end: UInt64?) {
    self.request = request
    self.end = end
    left = request.limit ?? .max
    isAtEnd = left == 0
  }

  /// Whether a read must know the end of the log before it begins: it may take more than one request.
  package static func needsEnd(_ request: ReadRequest) -> Bool { !request.backwards && request.limit ?? .max > firstPage }

  /// The next request; `nil` when all is read.
  package mutating func next() -> ReadRequest? {
    guard !isAtEnd else { return nil }
    page = min(page, left)
    request.limit = page
    return request
  }

  /// Whether a record is one that was there when the read began.
  package func contains(_ sequence: UInt64) -> Bool { end.map { sequence < $0 } ?? true }

  /// A request was answered.
  ///
  /// - Parameters:
  ///   - next: where the server stopped.
  ///   - records, bytes: what it sent.
  package mutating func ended(next: UInt64, records: UInt64, bytes: Int) {
    left -= min(left, records)
    if records < page || left == 0 || next >= end ?? .max { isAtEnd = true }
    request.start = .sequence(next)
    // Compared with the first request: one connection is to one log.
    request.history = nil
    let average = max(1, UInt64(bytes) / max(1, records))
    page = max(1, min(UInt64(Self.pageBytes) / average, page * 16, Self.largestPage))
  }
}
