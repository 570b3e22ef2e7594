import AccessControl
import AuditLog
import AuditSchema

/// What the HTTP listener of the same server refuses and gives out counts as what the server itself does.
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

  /// - Throws: while no record of a read could be written, where the server promises one.
  package func mayRead() throws(RequestError) { try log.trail.readMayBegin() }

  /// Somebody has read records over HTTP.
  package func recordRead(_ principal: String, _ sequences: Range<UInt64>, isWhole: Bool) {
    log.trail.closed(
      AccessTrail.Reading(
        principal: principal, request: "read", filter: RecordFilter(), from: sequences.lowerBound,
        to: isWhole ? sequences.upperBound : sequences.lowerBound, records: isWhole ? UInt64(sequences.count) : 0,
        outcome: isWhole ? "end" : "failed"))
  }
}
