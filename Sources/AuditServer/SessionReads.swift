import AuditSchema
import Logging
import Synchronization

/// Reads and subscriptions: start, end, credit.
extension Session {
  func read(_ id: UInt64, _ request: ReadRequest) throws(RequestError) {
    guard reads.count < Int(limits.reads) else {
      throw RequestError(
        .limitExceeded, "\(reads.count) reads are under way on this connection, which is the limit (reads); wait for one to end")
    }
    try mayReadNow()
    beginReading(id, "read", request.filter)
    let read = SessionRead(id: id, request: request, filter: try hold(request.filter), session: self)
    reads[id] = read
    read.start()
  }

  func readEnded(_ id: UInt64, _ error: RequestError? = nil) {
    if let read = reads.removeValue(forKey: id) { end(read, id, outcome: Self.outcome(error)) }
    finishIfDone()
  }

  /// A read is over; its last frame is written by the caller.
  func end(_ read: SessionRead, _ id: UInt64, outcome: String) {
    read.cancel()
    letGo(of: read.filter)
    endReading(id, from: read.first, to: read.next, records: read.sent, outcome: outcome)
  }

  private static func outcome(_ error: RequestError?) -> String { error.map { "\($0.code)" } ?? "end" }

  func subscribe(_ id: UInt64, _ request: SubscribeRequest) throws(RequestError) {
    if server.isDraining { throw RequestError(.draining, "the server is shutting down; connect again") }
    guard subscriptions.count < Int(limits.subscriptions) else {
      throw RequestError(
        .limitExceeded, "this connection has \(subscriptions.count) subscriptions, which is the limit (subscriptions); end one first")
    }
    guard request.credit <= limits.creditBytes else {
      throw RequestError(
        .limitExceeded, "a credit of \(request.credit) bytes is over the limit of \(limits.creditBytes) bytes (credit_bytes)")
    }
    try mayReadNow()
    try access.usage?.take(.subscriptions)
    let filter: SharedFilters.Shared?
    do { filter = try hold(request.filter) } catch {
      access.usage?.giveBack(.subscriptions)
      throw error
    }
    beginReading(id, "subscribe", request.filter)
    let subscription = Subscription(id: id, request: request, filter: filter, session: self)
    subscriptions[id] = subscription
    server.subscriptions.add(1, ordering: .relaxed)
    shard.follow(subscription)
    subscription.start()
  }

  /// Prepares a filter, and the rights of the connection with it, within the limits for one connection's filters, for its identity's, and
  /// for all filters.
  ///
  /// - Returns: `nil` for a filter that matches every record, of somebody who may read every record.
  private func hold(_ filter: RecordFilter) throws(RequestError) -> SharedFilters.Shared? {
    let rights = readRights
    guard !filter.isEmpty || rights != nil else { return nil }
    let shared = try shard.filters.acquire(filter, rights)
    let limit = server.configuration.connectionFilterBytes
    guard filterBytes + shared.memoryBytes <= limit else {
      shard.filters.release(shared)
      throw RequestError(
        .limitExceeded,
        "the filters of this connection would take \(filterBytes + shared.memoryBytes) bytes of memory; \(limit) are the limit; end a "
          + "subscription first, or ask for less")
    }
    do { try access.usage?.take(.filterBytes, shared.memoryBytes) } catch {
      shard.filters.release(shared)
      throw error
    }
    filterBytes += shared.memoryBytes
    return shared
  }

  func letGo(of filter: SharedFilters.Shared?) {
    guard let filter else { return }
    filterBytes -= filter.memoryBytes
    access.usage?.giveBack(.filterBytes, filter.memoryBytes)
    shard.filters.release(filter)
  }

  /// Refuses an id that a read or subscription uses: its replies could not be told apart from others of that id.
  func checkFree(_ id: UInt64) throws(RequestError) {
    guard subscriptions[id] == nil, reads[id] == nil else {
      throw RequestError(.invalidRequest, "id \(id) belongs to a read or subscription under way; use another")
    }
  }

  /// Ends a read or subscription; does nothing if it has ended meanwhile.
  func unsubscribe(_ id: UInt64) {
    if let read = reads.removeValue(forKey: id) {
      end(read, id, outcome: "end")
      write(shard.encoder.readEnd(id: id, read.end))
    } else {
      endSubscription(id, nil)
    }
  }

  func credit(_ id: UInt64, _ bytes: UInt64) throws(RequestError) {
    // It may have ended meanwhile.
    guard let subscription = subscriptions[id] else { return }
    let limit = limits.creditBytes
    guard bytes > 0, bytes <= limit, subscription.credit + Int(bytes) <= Int(limit) else {
      throw RequestError(
        .limitExceeded,
        "a credit of \(bytes) bytes on top of \(subscription.credit) is not within 1 to \(limit) bytes in all (credit_bytes)")
    }
    subscription.add(credit: Int(bytes))
  }

  func endSubscription(_ id: UInt64, _ error: RequestError?) {
    guard let subscription = subscriptions.removeValue(forKey: id) else { return }
    subscription.end()
    endReading(id, from: subscription.first, to: subscription.next, records: subscription.delivered, outcome: Self.outcome(error))
    letGo(of: subscription.filter)
    access.usage?.giveBack(.subscriptions)
    server.subscriptions.subtract(1, ordering: .relaxed)
    shard.unfollow(subscription)
    if let error { note(.subscription(error.code), "subscription ended", ["id": "\(id)", "reason": "\(error.message)"]) }
    write(shard.encoder.subscription(id: id, .ended(next: subscription.next, error), erasedSkipped: subscription.erasedSkipped))
  }

  func pushAll() {
    for subscription in subscriptions.values { shard.push(to: subscription) }
    finishIfDone()
  }
}
