import NIOCore

/// What a connection was given to write and its peer has not taken, and since when the peer takes nothing.
package struct UnsentBytes {
  /// As of the last look, with all that was written since.
  package private(set) var count = 0
  /// The look at which the peer had taken something for the last time; `nil` while there is nothing to take.
  package private(set) var stalledSince: NIODeadline?

  /// What the peer's host had acknowledged when the stall was last asked about.
  private var acknowledged: UInt64?

  package init() {}

  package mutating func wrote(_ bytes: Int) { count += bytes }

  /// - Parameter buffered: bytes that the channel holds now.
  package mutating func looked(buffered: Int, at now: NIODeadline) {
    // What was written meanwhile is in `count`: the difference is what the peer took, also when more came than went.
    if buffered == 0 {
      stalledSince = nil
    } else if buffered < count || stalledSince == nil {
      stalledSince = now
      acknowledged = nil
    }
    count = buffered
  }

  /// The kernel takes more only when much of what it has is gone: a slow peer's progress shows in what its host acknowledges.
  ///
  /// - Parameter bytes: acknowledged since the connection began.
  package mutating func acknowledged(_ bytes: UInt64, at now: NIODeadline) {
    if let before = acknowledged, bytes > before { stalledSince = now }
    acknowledged = bytes
  }
}
