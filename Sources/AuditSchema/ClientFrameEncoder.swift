import CAuditSchema

/// Encodes a client's frames, each with its length prefix.
package final class ClientFrameEncoder {
  private let arena = DecodeArena(limitBytes: 64 << 20)

  package init() {}

  /// Encodes an append of events that `EventEncoder` encoded.
  package static func append(
    id: UInt64, producerSequence: UInt64?, events: some Collection<[UInt8]>, isProven: Bool = false
  ) -> [UInt8] {
    var encoded = EncodedEvents()
    for event in events { encoded.append(event) }
    let frame = AppendFrame(id: id, producerSequence: producerSequence, eventBytes: encoded.bytes.count, isProven: isProven)
    return [UInt8](unsafeUninitializedCapacity: frame.byteCount) { buffer, count in
      count = encoded.bytes.withUnsafeBytes { frame.write($0, to: buffer.baseAddress!) }
    }
  }

  package func hello(id: UInt64, _ hello: Hello) throws(RequestError) -> [UInt8] {
    var part = Hubaudit__V1__Hello()
    hubaudit__v1__hello__init(&part)
    part.has_version = hello.version == nil ? 0 : 1
    part.version = hello.version ?? 0
    part.hub = try arena.string(hello.hub, field: "hub")
    part.producer = try arena.string(hello.producer, field: "producer")
    part.has_producer_next = hello.producerNext == nil ? 0 : 1
    part.producer_next = hello.producerNext ?? 0
    part.client = try arena.string(hello.client, field: "client")
    (part.has_checkpoints, part.checkpoints) = hello.checkpoints ? (1, 1) : (0, 0)
    if let token = hello.sessionToken { (part.has_session_token, part.session_token) = (1, try arena.bytes(token)) }
    part.token = try arena.string(hello.token, field: "token")
    return try frame(id, HUBAUDIT__V1__CLIENT_FRAME__REQUEST_HELLO, part)
  }

  package func authenticate(id: UInt64, token: String) throws(RequestError) -> [UInt8] {
    var part = Hubaudit__V1__Authenticate()
    hubaudit__v1__authenticate__init(&part)
    part.token = try arena.string(token, field: "token")
    return try frame(id, HUBAUDIT__V1__CLIENT_FRAME__REQUEST_AUTHENTICATE, part)
  }

  package func read(id: UInt64, _ request: ReadRequest) throws(RequestError) -> [UInt8] {
    var part = Hubaudit__V1__Read()
    hubaudit__v1__read__init(&part)
    part.start = try start(request.start, request.history)
    part.filter = try filter(request.filter)
    part.has_limit = request.limit == nil ? 0 : 1
    part.limit = request.limit ?? 0
    part.has_backwards = request.backwards ? 1 : 0
    part.backwards = request.backwards ? 1 : 0
    return try frame(id, HUBAUDIT__V1__CLIENT_FRAME__REQUEST_READ, part)
  }

  package func subscribe(id: UInt64, _ request: SubscribeRequest) throws(RequestError) -> [UInt8] {
    var part = Hubaudit__V1__Subscribe()
    hubaudit__v1__subscribe__init(&part)
    part.start = try start(request.start, request.history)
    part.filter = try filter(request.filter)
    part.has_credit = 1
    part.credit = request.credit
    return try frame(id, HUBAUDIT__V1__CLIENT_FRAME__REQUEST_SUBSCRIBE, part)
  }

  package func unsubscribe(id: UInt64, subscription: UInt64) throws(RequestError) -> [UInt8] {
    var part = Hubaudit__V1__Unsubscribe()
    hubaudit__v1__unsubscribe__init(&part)
    part.has_subscription = 1
    part.subscription = subscription
    return try frame(id, HUBAUDIT__V1__CLIENT_FRAME__REQUEST_UNSUBSCRIBE, part)
  }

  package func credit(id: UInt64, subscription: UInt64, bytes: UInt64) throws(RequestError) -> [UInt8] {
    var part = Hubaudit__V1__Credit()
    hubaudit__v1__credit__init(&part)
    part.has_subscription = 1
    part.subscription = subscription
    part.has_bytes = 1
    part.bytes = bytes
    return try frame(id, HUBAUDIT__V1__CLIENT_FRAME__REQUEST_CREDIT, part)
  }

  package func health(id: UInt64) throws(RequestError) -> [UInt8] {
    var part = Hubaudit__V1__HealthRequest()
    hubaudit__v1__health_request__init(&part)
    return try frame(id, HUBAUDIT__V1__CLIENT_FRAME__REQUEST_HEALTH, part)
  }

  package func settings(id: UInt64) throws(RequestError) -> [UInt8] {
    var part = Hubaudit__V1__SettingsRequest()
    hubaudit__v1__settings_request__init(&part)
    return try frame(id, HUBAUDIT__V1__CLIENT_FRAME__REQUEST_SETTINGS, part)
  }

  package func checkpoint(id: UInt64, size: UInt64?) throws(RequestError) -> [UInt8] {
    var part = Hubaudit__V1__CheckpointRequest()
    hubaudit__v1__checkpoint_request__init(&part)
    (part.has_size, part.size) = (size == nil ? 0 : 1, size ?? 0)
    return try frame(id, HUBAUDIT__V1__CLIENT_FRAME__REQUEST_CHECKPOINT, part)
  }

  package func proof(id: UInt64, _ request: ProofRequest) throws(RequestError) -> [UInt8] {
    var part = Hubaudit__V1__ProofRequest()
    hubaudit__v1__proof_request__init(&part)
    switch request.subject {
    case .inclusion(let sequence): (part.proof_case, part.inclusion) = (HUBAUDIT__V1__PROOF_REQUEST__PROOF_INCLUSION, sequence)
    case .consistency(let size): (part.proof_case, part.consistency) = (HUBAUDIT__V1__PROOF_REQUEST__PROOF_CONSISTENCY, size)
    }
    (part.has_size, part.size) = (request.size == nil ? 0 : 1, request.size ?? 0)
    return try frame(id, HUBAUDIT__V1__CLIENT_FRAME__REQUEST_PROOF, part)
  }

  package func erase(id: UInt64, statement: [UInt8]) throws(RequestError) -> [UInt8] {
    var part = Hubaudit__V1__Erase()
    hubaudit__v1__erase__init(&part)
    (part.has_statement, part.statement) = (1, try arena.bytes(statement))
    return try frame(id, HUBAUDIT__V1__CLIENT_FRAME__REQUEST_ERASE, part)
  }

  package func schema(id: UInt64) throws(RequestError) -> [UInt8] {
    var part = Hubaudit__V1__SchemaRequest()
    hubaudit__v1__schema_request__init(&part)
    return try frame(id, HUBAUDIT__V1__CLIENT_FRAME__REQUEST_SCHEMA, part)
  }

  package func ping(id: UInt64, payload: [UInt8] = []) throws(RequestError) -> [UInt8] {
    var part = Hubaudit__V1__Ping()
    hubaudit__v1__ping__init(&part)
    part.has_payload = 1
    part.payload = try arena.bytes(payload)
    return try frame(id, HUBAUDIT__V1__CLIENT_FRAME__REQUEST_PING, part)
  }

  private func frame<Part>(_ id: UInt64, _ requestCase: Hubaudit__V1__ClientFrame__RequestCase, _ part: Part) throws(RequestError)
    -> [UInt8]
  {
    defer { arena.reset() }
    var message = CClientFrame()
    hubaudit__v1__client_frame__init(&message)
    message.has_id = 1
    message.id = id
    message.request_case = requestCase
    // All members of the union are pointers to messages, so any of them can be set; the case tells the type.
    message.hello = UnsafeMutableRawPointer(try arena.new(part)).assumingMemoryBound(to: Hubaudit__V1__Hello.self)
    return Framing.delimited(encodeMessage(&message))
  }

  private func start(_ start: Start, _ history: LogHistory?) throws(RequestError) -> UnsafeMutablePointer<CStart> {
    var part = CStart()
    hubaudit__v1__start__init(&part)
    switch start {
    case .earliest:
      part.start_case = HUBAUDIT__V1__START__START_EARLIEST
      part.earliest = 1
    case .latest:
      part.start_case = HUBAUDIT__V1__START__START_LATEST
      part.latest = 1
    case .sequence(let sequence):
      part.start_case = HUBAUDIT__V1__START__START_SEQUENCE
      part.sequence = sequence
    case .time(let time):
      part.start_case = HUBAUDIT__V1__START__START_TIME
      part.time = time
    case .after(let sequence):
      part.start_case = HUBAUDIT__V1__START__START_AFTER
      part.after = sequence
    }
    if let history {
      var known = Hubaudit__V1__History()
      hubaudit__v1__history__init(&known)
      (known.has_log_id, known.log_id) = (1, try arena.bytes(history.logID))
      (known.has_size, known.size) = (1, history.size)
      if let leafHash = history.leafHash { (known.has_leaf_hash, known.leaf_hash) = (1, try arena.bytes(leafHash)) }
      part.history = try arena.new(known)
    }
    return try arena.new(part)
  }

  private func filter(_ filter: RecordFilter) throws(RequestError) -> UnsafeMutablePointer<CFilter>? {
    guard !filter.isEmpty else { return nil }
    var part = CFilter()
    hubaudit__v1__filter__init(&part)
    (part.n_kinds, part.kinds) = (filter.kinds.count, try arena.strings(filter.kinds, field: "kinds"))
    (part.n_hubs, part.hubs) = (filter.hubs.count, try arena.strings(filter.hubs, field: "hubs"))
    (part.n_agents, part.agents) = (filter.agents.count, try arena.strings(filter.agents, field: "agents"))
    (part.n_channels, part.channels) = (filter.channels.count, try arena.strings(filter.channels, field: "channels"))
    (part.n_tasks, part.tasks) = (filter.tasks.count, try arena.strings(filter.tasks, field: "tasks"))
    part.has_since = filter.since == nil ? 0 : 1
    part.since = filter.since ?? 0
    part.has_until = filter.until == nil ? 0 : 1
    part.until = filter.until ?? 0
    return try arena.new(part)
  }
}
