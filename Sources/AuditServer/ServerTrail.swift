import AccessControl
import AuditLog
import AuditSchema
import NIOCore

/// What becomes a record of the log about who used the server, and who was refused. A server that asks for no identities writes none of them.
extension AuditServer {
  func unauthenticated(_ failure: AuthenticationFailure) {
    guard access != nil else { return }
    log.trail.unauthenticated(cause: failure.cause.rawValue)
  }

  /// Records about access since the start.
  package var accessRecords: AccessTrail.Counts { log.trail.counts }

  func denied(_ principal: String, right: String, request: String, hub: String?) {
    log.trail.denied(principal: principal, right: right, request: request, hub: hub)
  }

  func credentialEnded(_ principal: String) { log.trail.credentialEnded(principal: principal) }
}

/// A read or a subscription as the log records it.
struct AuditedReading {
  let request: String
  let filter: RecordFilter
  /// When a subscription is recorded next, though it goes on.
  var due: NIODeadline
}

extension Session {
  /// - Throws: while no record of the read could be written, where the server promises one.
  func mayReadNow() throws(RequestError) {
    guard access.identity != nil else { return }
    try shard.log.trail.readMayBegin()
  }

  /// Notes a read or a subscription, to be recorded when it ends.
  func beginReading(_ id: UInt64, _ request: String, _ filter: RecordFilter) {
    guard access.identity != nil else { return }
    readings[id] = AuditedReading(request: request, filter: filter, due: .now() + TimeAmount(server.configuration.longReadInterval))
  }

  /// Records what a read or a subscription came to.
  ///
  /// - Parameters:
  ///   - from: its first position; `nil` if it had none yet.
  ///   - outcome: `end`, or the code of an error.
  func endReading(_ id: UInt64, from: UInt64?, to: UInt64, records: UInt64, outcome: String) {
    guard let reading = readings.removeValue(forKey: id) else { return }
    record(reading, from: from, to: to, records: records, outcome: outcome)
  }

  private func record(_ reading: AuditedReading, from: UInt64?, to: UInt64, records: UInt64, outcome: String) {
    shard.log.trail.closed(
      AccessTrail.Reading(
        principal: access.identity?.principal ?? "", request: reading.request, filter: reading.filter, from: from ?? to, to: to,
        records: records, outcome: outcome))
  }

  /// Records subscriptions that have been under way for `longReadInterval` since they were recorded last.
  func recordLongReadings(_ now: NIODeadline) {
    guard !readings.isEmpty else { return }
    for (id, subscription) in subscriptions {
      guard let reading = readings[id], now >= reading.due else { continue }
      readings[id]?.due = now + TimeAmount(server.configuration.longReadInterval)
      record(reading, from: subscription.first, to: subscription.next, records: subscription.delivered, outcome: "running")
    }
  }

  /// The connection has closed with these under way.
  func endAllReadings() {
    let closed = "the connection closed"
    for (id, subscription) in subscriptions {
      endReading(id, from: subscription.first, to: subscription.next, records: subscription.delivered, outcome: closed)
    }
    for (id, read) in reads { endReading(id, from: read.first, to: read.next, records: read.sent, outcome: closed) }
  }
}
