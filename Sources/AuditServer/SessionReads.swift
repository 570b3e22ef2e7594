import AuditSchema

/// Reads and subscriptions: where they begin, end and are given credit.
extension Session {
  func read(_ id: UInt64, _ request: ReadRequest) throws(SchemaError) {
    guard reads.count < Int(limits.reads) else {
      throw SchemaError(
        .limitExceeded, "\(reads.count) reads are under way on this connection, which is the limit (reads); wait for one to end")
    }
    let read = LogRead(id: id, request: request, session: self)
    reads[id] = read
    read.start()
  }

  func readEnded(_ id: UInt64) {
    reads[id] = nil
    finishIfDone()
  }

  func subscribe(_ id: UInt64, _ request: SubscribeRequest) throws(SchemaError) {
    if server.isDraining { throw SchemaError(.draining, "the server is shutting down; connect again") }
    guard subscriptions.count < Int(limits.subscriptions) else {
      throw SchemaError(
        .limitExceeded, "this connection has \(subscriptions.count) subscriptions, which is the limit (subscriptions); end one first")
    }
    guard request.credit <= limits.creditBytes else {
      throw SchemaError(
        .limitExceeded, "a credit of \(request.credit) bytes is over the limit of \(limits.creditBytes) bytes (credit_bytes)")
    }
    let subscription = Subscription(id: id, request: request, session: self)
    subscriptions[id] = subscription
    server.subscriptions.add(1, ordering: .relaxed)
    lane.subscriptions.add(1, ordering: .relaxed)
    subscription.start()
  }

  /// Whatever is asked under such an id, its replies and those of the read or subscription could not be told apart.
  func checkFree(_ id: UInt64) throws(SchemaError) {
    guard subscriptions[id] == nil, reads[id] == nil else {
      throw SchemaError(.invalidRequest, "id \(id) belongs to a read or subscription under way; use another")
    }
  }

  /// One that has ended meanwhile needs no end.
  func unsubscribe(_ id: UInt64) {
    if let read = reads.removeValue(forKey: id) {
      read.cancel()
      write(lane.encoder.readEnd(id: id, read.end))
    } else {
      endSubscription(id, nil)
    }
  }

  func credit(_ id: UInt64, _ bytes: UInt64) throws(SchemaError) {
    // One that has ended meanwhile needs no credit.
    guard let subscription = subscriptions[id] else { return }
    let limit = limits.creditBytes
    guard bytes > 0, bytes <= limit, subscription.credit + Int(bytes) <= Int(limit) else {
      throw SchemaError(
        .limitExceeded,
        "a credit of \(bytes) bytes on top of \(subscription.credit) is not within 1 to \(limit) bytes in all (credit_bytes)")
    }
    subscription.add(credit: Int(bytes))
  }

  func endSubscription(_ id: UInt64, _ error: SchemaError?) {
    guard let subscription = subscriptions.removeValue(forKey: id) else { return }
    subscription.end()
    server.subscriptions.subtract(1, ordering: .relaxed)
    lane.subscriptions.subtract(1, ordering: .relaxed)
    if let error { logger.notice("subscription ended", metadata: ["id": "\(id)", "reason": "\(error.message)"]) }
    write(lane.encoder.subscription(id: id, .ended(next: subscription.next, error)))
  }

  var hasSubscriptions: Bool { !subscriptions.isEmpty }

  func pushAll() {
    for subscription in subscriptions.values { subscription.push() }
    finishIfDone()
  }
}
