import NIOCore

/// Bytes that were written to a connection and that its peer has not read, and since when the peer reads nothing.
package struct UnsentBytes {
  /// As of the last poll, plus everything written since.
  package private(set) var count = 0
  /// The last poll at which the peer had read something; `nil` while nothing is unsent.
  package private(set) var stalledSince: NIODeadline?

  /// Bytes that the peer's host had acknowledged at the last query.
  private var acknowledged: UInt64?

  package init() {}

  package mutating func wrote(_ bytes: Int) { count += bytes }

  /// - Parameter buffered: bytes in the channel's buffer now.
  package mutating func looked(buffered: Int, at now: NIODeadline) {
    // `count` includes everything written since, so the difference is what the peer has read, even if the buffer grew.
    if buffered == 0 {
      stalledSince = nil
    } else if buffered < count || stalledSince == nil {
      stalledSince = now
      acknowledged = nil
    }
    count = buffered
  }

  /// The kernel takes more only after much of its buffer has drained. So a slow peer's progress shows first in what its host acknowledges.
  ///
  /// - Parameter bytes: acknowledged since the connection began.
  package mutating func acknowledged(_ bytes: UInt64, at now: NIODeadline) {
    if let before = acknowledged, bytes > before { stalledSince = now }
    acknowledged = bytes
  }
}
