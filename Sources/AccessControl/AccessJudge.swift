/// Tells who a connection is and what it may do, as of one access file. Immutable: a reload makes a new one.
package protocol AccessJudge: Sendable {
  /// - Parameter now: Unix ns.
  func authenticate(_ credentials: Credentials, now: UInt64) async throws(AuthenticationFailure) -> Identity

  /// Judges an identity that an earlier access file, or an earlier time, has let in.
  ///
  /// - Returns: the identity with its rights and expiry of today.
  /// - Throws: when its credential, or the identity, is not valid any more.
  func judgeAgain(_ identity: Identity, now: UInt64) throws(AuthenticationFailure) -> Identity
}
