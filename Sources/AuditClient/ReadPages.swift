import AuditSchema

/// Divides a read into requests of about 512 KiB each, so that a slow consumer leaves no bytes unread in the socket: the server disconnects
/// a peer that stops reading. A value: its owner sends the requests.
package struct ReadPages {
  /// Target bytes of a page. `firstPage` and `largestPage` are in records: the first page is small, since the record size is unknown.
  private static let pageBytes = 512 << 10
  private static let firstPage: UInt64 = 32
  private static let largestPage: UInt64 = 8192

  private var request: ReadRequest
  /// The end of the log when the read began; `nil` for a backward read.
  private let end: UInt64?
  private var left: UInt64
  private var page = Self.firstPage
  private var isAtEnd: Bool

  /// - Parameter end: the sequence at which a forward read ends; `nil` for a backward read.
  package init(_ request: ReadRequest, end: UInt64?) {
    self.request = request
    self.end = end
    left = request.limit ?? .max
    isAtEnd = left == 0
  }

  /// Whether the caller must ask for the end of the log first: for a forward read that may take several pages.
  package static func needsEnd(_ request: ReadRequest) -> Bool { !request.backwards && request.limit ?? .max > firstPage }

  /// The next request; `nil` after the last.
  package mutating func next() -> ReadRequest? {
    guard !isAtEnd else { return nil }
    page = min(page, left)
    request.limit = page
    return request
  }

  /// Whether a record was in the log when the read began.
  package func contains(_ sequence: UInt64) -> Bool { end.map { sequence < $0 } ?? true }

  /// Notes the answer to a request, and sizes the next page by the average record.
  ///
  /// - Parameters:
  ///   - next: where the server stopped.
  ///   - records: number of records that it sent.
  ///   - bytes: their size.
  package mutating func ended(next: UInt64, records: UInt64, bytes: Int) {
    left -= min(left, records)
    if records < page || left == 0 || next >= end ?? .max { isAtEnd = true }
    request.start = .sequence(next)
    // The server has checked the history with the first page, and a connection has one log.
    request.history = nil
    let average = max(1, UInt64(bytes) / max(1, records))
    page = max(1, min(UInt64(Self.pageBytes) / average, page * 16, Self.largestPage))
  }
}
