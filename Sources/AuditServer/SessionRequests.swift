import AccessControl
import AuditLog
import AuditSchema
import Logging
import NIOCore

/// Requests: from a frame to the code that carries it out, and the hello.
extension Session {
  func receive(_ bytes: UnsafeRawBufferPointer) {
    var id: UInt64?
    defer { shard.arena.reset() }
    do throws(RequestError) {
      let frame = try ClientFrame(bytes, in: shard.arena, limits: limits, identified: &id)
      if case .append = frame.request {} else { turnCost += Self.requestCost }
      try handle(frame, in: bytes)
    } catch {
      turnCost += Self.requestCost
      if state.isAwaitingHello || error.code.endsConnection { return fail(error, id: id) }
      // Most of them decode; in the others the append is found as far as they can be read.
      if ClientFrame.holdsAppend(bytes) { shard.counters.refused(error.code) }
      write(shard.encoder.error(id: id, error))
    }
  }

  private func handle(_ frame: ClientFrame, in bytes: UnsafeRawBufferPointer) throws(RequestError) {
    if state.isAwaitingHello {
      guard case .hello(let hello) = frame.request else {
        throw RequestError(.helloExpected, "the first frame of a connection must be a hello")
      }
      return try greet(frame.id, hello)
    }
    if !(subscriptions.isEmpty && reads.isEmpty) { try checkFree(frame.id) }
    try permit(frame.request)
    switch frame.request {
    case .hello: throw RequestError(.invalidRequest, "this connection has said hello already")
    case .authenticate(let token): try authenticate(frame.id, token: token)
    case .append(let request): try append(frame.id, request, in: bytes)
    case .read(let request): try read(frame.id, request)
    case .subscribe(let request): try subscribe(frame.id, request)
    case .unsubscribe(let subscription): unsubscribe(subscription)
    case .credit(let subscription, let bytes): try credit(subscription, bytes)
    case .checkpoint(let size): try checkpoint(frame.id, covering: size)
    case .proof(let request): try prove(frame.id, request)
    case .erase(let statement): try erase(frame.id, statement)
    case .health: write(shard.encoder.health(id: frame.id, server.health()))
    case .settings: write(shard.encoder.settings(id: frame.id, server.currentSettings()))
    case .schema: write(shard.encoder.schema(id: frame.id, descriptorSet: Schema.descriptorSet, sha256: Schema.sha256))
    case .ping(let payload):
      let limit = server.configuration.pingBytes
      guard payload.count <= limit else {
        throw RequestError(.limitExceeded, "the ping's payload has \(payload.count) bytes; \(limit) are allowed")
      }
      write(shard.encoder.pong(id: frame.id, payload: payload))
    }
  }

  private func greet(_ id: UInt64, _ hello: Hello) throws(RequestError) {
    guard hello.version == Hello.version else {
      let told = hello.version.map { "\($0)" } ?? "none"
      throw RequestError(.unsupportedVersion, "the client speaks protocol version \(told); this server speaks \(Hello.version)")
    }
    if let client = hello.client, client.utf8.count > RecordOrigin.maximumNameBytes {
      throw RequestError(.invalidRequest, "the client's name has \(client.utf8.count) bytes; \(RecordOrigin.maximumNameBytes) are allowed")
    }
    if hello.hub == nil, hello.producer != nil {
      throw RequestError(.invalidRequest, "the hello names a producer and no hub; a producer belongs to a hub")
    }
    if let next = hello.producerNext, !(1...Record.maximumSequence).contains(next) {
      throw RequestError(.invalidRequest, "the producer's next number \(next) is out of range; numbers start at 1")
    }
    if let token = hello.sessionToken, token.count != 16 {
      throw RequestError(.invalidRequest, "the hello's session_token has \(token.count) bytes; those of a welcome have 16")
    }
    if let client = hello.client { logger[metadataKey: "client"] = "\(client)" }
    guard server.access != nil else { return try enter(id, hello) }
    state.greet()
    updateReading()
    identify(token: hello.token) { session, result in
      switch result {
      case .success(let identity):
        do throws(RequestError) {
          try session.admit(identity)
          try session.enter(id, hello)
        } catch { session.fail(error, id: id) }
      case .failure(let failure): session.refuseCredentials(failure, id: id)
      }
    }
  }

  /// Carries a hello out. The connection's identity is known, where the server asks for one.
  private func enter(_ id: UInt64, _ hello: Hello) throws(RequestError) {
    let rights = access.identity?.rights
    wantsCheckpoints = hello.checkpoints && rights?.mayProve ?? true
    guard let hub = hello.hub else { return welcome(id, nil) }
    logger[metadataKey: "hub"] = "\(hub)"
    let origin = try RecordOrigin(hub: hub, producer: hello.producer, principal: access.identity?.principal)
    if let rights, !rights.mayPublish(hub: hub) { throw denied("publish", "hello", hub: hub) }
    if hello.producer != nil, let usage = access.usage {
      try usage.take(.producers)
      access.holdsProducer = true
    }
    let source = AppendSource(origin: origin)
    self.source = source
    guard hello.producer != nil else { return welcome(id, nil) }
    if state.isAwaitingHello { state.greet() }
    updateReading()
    let reference = NIOLoopBound(self, eventLoop: shard.loop)
    shard.log.sequencer.greet(source, declared: hello.producerNext, token: hello.sessionToken) { [loop = shard.loop] result in
      loop.execute {
        let session = reference.value
        guard session.state.isGreeting else { return }
        switch result {
        case .success(let greeting): session.welcome(id, greeting)
        case .failure(let error): session.fail(error, id: id)
        }
        session.handler?.resume()
        session.shard.flush()
      }
    }
  }

  private func welcome(_ id: UInt64, _ greeting: ProducerGreeting?) {
    state.welcome()
    numbers.begin(at: greeting?.next ?? 1)
    updateReading()
    logger.debug("connection open")
    var welcome = Welcome(
      server: server.configuration.software, logID: shard.log.store.start.logID, firstSequence: shard.log.store.start.firstSequence,
      nextSequence: shard.log.nextSequence, producerNext: greeting?.next, identity: access.identity?.principal ?? Welcome.anonymous,
      limits: limits)
    welcome.sessionToken = greeting?.token
    welcome.isProducerForgotten = greeting?.isForgotten ?? false
    welcome.producerTakenAt = greeting?.takenAt
    welcome.expiresAt = access.identity?.expiresAt
    write(shard.encoder.welcome(id: id, welcome))
  }
}

extension RequestError {
  /// The error that a client gets when the log cannot be read.
  init(storeError error: any Error) {
    switch error {
    case let error as RequestError: self = error
    case let error as StoreError where error.code == .damaged: self.init(.dataDamaged, error.message)
    case let error as StoreError where error.code == .closed: self.init(.draining, error.message)
    default: self.init(.internal, "the log cannot be read: \(error)")
    }
  }
}
