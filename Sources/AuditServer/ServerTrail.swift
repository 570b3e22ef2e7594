import AccessControl
import AuditLog
import AuditSchema

/// What becomes a record of the log about who used the server, and who was refused.
extension AuditServer {
  func unauthenticated(_ failure: AuthenticationFailure) {}

  func denied(_ principal: String, right: String, request: String, hub: String?) {}

  func credentialEnded(_ principal: String) {}
}

extension Session {
  /// - Throws: while no record of the read could be written, where the server promises one.
  func mayReadNow() throws(RequestError) {}
}
