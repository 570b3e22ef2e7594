import AccessControl

/// What the HTTP listener of the same server refuses counts as what the server itself refuses.
extension AuditServer {
  /// Somebody unknown asked over HTTP.
  package func refused(_ failure: AuthenticationFailure) {
    access?.failed(failure.cause)
    unauthenticated(failure)
  }

  /// Somebody known asked over HTTP what they may not.
  package func refused(_ principal: String, right: String, request: String) {
    access?.denied(right)
    denied(principal, right: right, request: request, hub: nil)
  }
}
