import CAuditSchema

/// Encodes a server's frames, each with its length prefix. Confined to one event loop.
package final class ServerFrameEncoder {
  private let arena = DecodeArena(limitBytes: 64 << 20)

  package init() {}

  package func welcome(id: UInt64, _ welcome: Welcome) -> [UInt8] {
    var part = Hubaudit__V1__Welcome()
    hubaudit__v1__welcome__init(&part)
    (part.has_version, part.version) = (1, welcome.version)
    part.server = string(welcome.server)
    (part.has_log_id, part.log_id) = (1, data(welcome.logID))
    (part.has_first_sequence, part.first_sequence) = (1, welcome.firstSequence)
    (part.has_next_sequence, part.next_sequence) = (1, welcome.nextSequence)
    (part.has_producer_next, part.producer_next) = (welcome.producerNext == nil ? 0 : 1, welcome.producerNext ?? 0)
    part.identity = string(welcome.identity)
    if let token = welcome.sessionToken { (part.has_session_token, part.session_token) = (1, data(token)) }
    (part.has_producer_forgotten, part.producer_forgotten) = welcome.isProducerForgotten ? (1, 1) : (0, 0)
    (part.has_producer_taken_at, part.producer_taken_at) = (welcome.producerTakenAt == nil ? 0 : 1, welcome.producerTakenAt ?? 0)
    (part.has_expires_at, part.expires_at) = (welcome.expiresAt == nil ? 0 : 1, welcome.expiresAt ?? 0)
    var limits = Hubaudit__V1__Limits()
    hubaudit__v1__limits__init(&limits)
    (limits.has_frame_bytes, limits.frame_bytes) = (1, welcome.limits.frameBytes)
    (limits.has_record_bytes, limits.record_bytes) = (1, welcome.limits.recordBytes)
    (limits.has_append_events, limits.append_events) = (1, welcome.limits.appendEvents)
    (limits.has_pending_append_bytes, limits.pending_append_bytes) = (1, welcome.limits.pendingAppendBytes)
    (limits.has_subscriptions, limits.subscriptions) = (1, welcome.limits.subscriptions)
    (limits.has_reads, limits.reads) = (1, welcome.limits.reads)
    (limits.has_credit_bytes, limits.credit_bytes) = (1, welcome.limits.creditBytes)
    (limits.has_filter_values, limits.filter_values) = (1, welcome.limits.filterValues)
    (limits.has_filter_bytes, limits.filter_bytes) = (1, welcome.limits.filterBytes)
    (limits.has_hub_producers, limits.hub_producers) = (1, welcome.limits.hubProducers)
    part.limits = new(limits)
    return frame(id, HUBAUDIT__V1__SERVER_FRAME__REPLY_WELCOME, part)
  }

  /// - Parameter expiresAt: Unix time in ns; `nil`: never.
  package func authenticated(id: UInt64, identity: String, expiresAt: UInt64?) -> [UInt8] {
    var part = Hubaudit__V1__Authenticated()
    hubaudit__v1__authenticated__init(&part)
    part.identity = string(identity)
    (part.has_expires_at, part.expires_at) = (expiresAt == nil ? 0 : 1, expiresAt ?? 0)
    return frame(id, HUBAUDIT__V1__SERVER_FRAME__REPLY_AUTHENTICATED, part)
  }

  package func appended(id: UInt64, _ appended: Appended) -> [UInt8] {
    var part = Hubaudit__V1__Appended()
    hubaudit__v1__appended__init(&part)
    (part.has_recorded, part.recorded) = (1, UInt32(appended.recorded))
    (part.has_ignored, part.ignored) = (1, UInt32(appended.ignoredEvents.count))
    (part.has_first_sequence, part.first_sequence) = (appended.firstSequence == nil ? 0 : 1, appended.firstSequence ?? 0)
    (part.n_ignored_events, part.ignored_events) = (appended.ignoredEvents.count, list(appended.ignoredEvents))
    (part.has_duplicates, part.duplicates) = (appended.duplicates == 0 ? 0 : 1, UInt32(appended.duplicates))
    (part.n_sequences, part.sequences) = (appended.scatteredSequences.count, list(appended.scatteredSequences))
    if let checkpoint = appended.checkpoint { (part.has_checkpoint, part.checkpoint) = (1, data(checkpoint)) }
    (part.n_proofs, part.proofs) = (appended.proofs.count, list(appended.proofs.map { data($0) }))
    return frame(id, HUBAUDIT__V1__SERVER_FRAME__REPLY_APPENDED, part)
  }

  /// The bytes of a frame before its record batch: length, id, next sequence, leaf hash.
  ///
  /// - Parameter leafHash: of record `next - 1`, 32 bytes, if that record is not the batch's last.
  package static func recordsPrefix(id: UInt64, next: UInt64, leafHash: [UInt8]? = nil, batchBytes: Int) -> [UInt8] {
    typealias Part = Fields.Records
    let leafBytes = leafHash.map { Part.leafHash.byteCount(contentBytes: $0.count) } ?? 0
    let recordsBytes = Part.nextSequence.byteCount(next) + leafBytes + Part.batch.byteCount(contentBytes: batchBytes)
    let frameBytes = Fields.ServerFrame.id.byteCount(id) + Fields.ServerFrame.records.byteCount(contentBytes: recordsBytes)
    return [UInt8](wireCapacity: Framing.varintSize(UInt64(frameBytes)) + frameBytes - batchBytes) { writer in
      writer.varint(UInt64(frameBytes))
      writer.write(Fields.ServerFrame.id, id)
      writer.begin(Fields.ServerFrame.records, contentBytes: recordsBytes)
      writer.write(Part.nextSequence, next)
      // Written before the batch, so that the batch is last; protobuf allows fields in any order.
      if let leafHash { writer.write(Part.leafHash, leafHash) }
      writer.begin(Part.batch, contentBytes: batchBytes)
    }
  }

  package func readEnd(id: UInt64, _ end: ReadEnd) -> [UInt8] {
    var part = Hubaudit__V1__ReadEnd()
    hubaudit__v1__read_end__init(&part)
    (part.has_next_sequence, part.next_sequence) = (1, end.next)
    (part.has_records, part.records) = (1, end.records)
    if let leafHash = end.leafHash { (part.has_leaf_hash, part.leaf_hash) = (1, data(leafHash)) }
    (part.has_erased_skipped, part.erased_skipped) = (end.erasedSkipped > 0 ? 1 : 0, end.erasedSkipped)
    return frame(id, HUBAUDIT__V1__SERVER_FRAME__REPLY_READ_END, part)
  }

  package func subscription(id: UInt64, _ state: SubscriptionState, erasedSkipped: UInt64 = 0) -> [UInt8] {
    var part = Hubaudit__V1__SubscriptionState()
    hubaudit__v1__subscription_state__init(&part)
    (part.has_state, part.has_next_sequence) = (1, 1)
    (part.has_erased_skipped, part.erased_skipped) = (erasedSkipped > 0 ? 1 : 0, erasedSkipped)
    switch state {
    case .caughtUp(let next, let leafHash, let checkpoint):
      (part.state, part.next_sequence) = (HUBAUDIT__V1__SUBSCRIPTION_STATE__STATE__STATE_CAUGHT_UP, next)
      if let leafHash { (part.has_leaf_hash, part.leaf_hash) = (1, data(leafHash)) }
      if let checkpoint { (part.has_checkpoint, part.checkpoint) = (1, data(checkpoint)) }
    case .progress(let next, let leafHash):
      (part.state, part.next_sequence) = (HUBAUDIT__V1__SUBSCRIPTION_STATE__STATE__STATE_PROGRESS, next)
      if let leafHash { (part.has_leaf_hash, part.leaf_hash) = (1, data(leafHash)) }
    case .ended(let next, let error):
      (part.state, part.next_sequence) = (HUBAUDIT__V1__SUBSCRIPTION_STATE__STATE__STATE_ENDED, next)
      if let error { part.error = new(message(error)) }
    }
    return frame(id, HUBAUDIT__V1__SERVER_FRAME__REPLY_SUBSCRIPTION, part)
  }

  package func health(id: UInt64, _ health: Health) -> [UInt8] {
    var part = Hubaudit__V1__Health()
    hubaudit__v1__health__init(&part)
    (part.has_status, part.status) = (1, Hubaudit__V1__Health__Status(rawValue: health.status.rawValue))
    (part.n_reasons, part.reasons) = (health.reasons.count, list(health.reasons.map { string($0) }))
    part.server = string(health.server)
    (part.has_log_id, part.log_id) = (1, data(health.logID))
    (part.has_first_sequence, part.first_sequence) = (1, health.firstSequence)
    (part.has_next_sequence, part.next_sequence) = (1, health.nextSequence)
    (part.has_log_bytes, part.log_bytes) = (1, health.logBytes)
    (part.has_segments, part.segments) = (1, health.segments)
    (part.has_uptime_ns, part.uptime_ns) = (1, health.uptimeNanoseconds)
    (part.has_records_appended, part.records_appended) = (1, health.recordsAppended)
    (part.has_commits, part.commits) = (1, health.commits)
    (part.has_connections, part.connections) = (1, health.connections)
    (part.has_subscriptions, part.subscriptions) = (1, health.subscriptions)
    (part.has_torn_bytes, part.torn_bytes) = (1, health.tornBytes)
    part.torn_file = health.tornFile.map { string($0) } ?? nil
    (part.has_scrubbed_records, part.scrubbed_records) = (1, health.scrubbedRecords)
    (part.has_scrubbed_bytes, part.scrubbed_bytes) = (1, health.scrubbedBytes)
    (part.has_scrub_rounds, part.scrub_rounds) = (1, health.scrubRounds)
    (part.n_damage, part.damage) = (health.damage.count, list(health.damage.map { string($0) }))
    (part.has_clock_steps, part.clock_steps) = (1, health.clockSteps)
    if let step = health.clockStep {
      (part.has_clock_stepped_from, part.clock_stepped_from) = (1, step.from)
      (part.has_clock_stepped_to, part.clock_stepped_to) = (1, step.to)
    }
    (part.has_checkpoint_size, part.checkpoint_size) = (health.checkpointSize == nil ? 0 : 1, health.checkpointSize ?? 0)
    (part.has_now, part.now) = (1, health.now)
    part.signer = health.signer.map { string($0) } ?? nil
    (part.has_checkpoint_stored_at, part.checkpoint_stored_at) = (health.checkpointStoredAt == nil ? 0 : 1, health.checkpointStoredAt ?? 0)
    (part.n_witnesses, part.witnesses) = (health.witnesses.count, list(health.witnesses.map { Optional(new(witness($0))) }))
    if let quorum = health.quorum {
      (part.has_quorum_size, part.quorum_size) = (1, quorum.size)
      (part.has_quorum_stored_at, part.quorum_stored_at) = (quorum.storedAt == nil ? 0 : 1, quorum.storedAt ?? 0)
    }
    (part.has_scrub_ended_at, part.scrub_ended_at) = (health.scrubEndedAt == nil ? 0 : 1, health.scrubEndedAt ?? 0)
    return frame(id, HUBAUDIT__V1__SERVER_FRAME__REPLY_HEALTH, part)
  }

  private func witness(_ witness: WitnessHealth) -> Hubaudit__V1__WitnessHealth {
    var part = Hubaudit__V1__WitnessHealth()
    hubaudit__v1__witness_health__init(&part)
    part.name = string(witness.name)
    (part.has_cosigned_size, part.cosigned_size) = (witness.cosignedSize == nil ? 0 : 1, witness.cosignedSize ?? 0)
    (part.has_cosigned_at, part.cosigned_at) = (witness.cosignedAt == nil ? 0 : 1, witness.cosignedAt ?? 0)
    part.failure = witness.failure.map { string($0) } ?? nil
    (part.has_contradicts, part.contradicts) = witness.isContradicted ? (1, 1) : (0, 0)
    return part
  }

  package func settings(id: UInt64, _ settings: [ServerSetting]) -> [UInt8] {
    var part = Hubaudit__V1__Settings()
    hubaudit__v1__settings__init(&part)
    let parts = settings.map { setting -> UnsafeMutablePointer<Hubaudit__V1__Setting>? in
      var part = Hubaudit__V1__Setting()
      hubaudit__v1__setting__init(&part)
      part.name = string(setting.name)
      part.value = string(setting.value)
      (part.has_source, part.source) = (1, Hubaudit__V1__Setting__Source(rawValue: setting.source.rawValue))
      part.origin = setting.origin.map { string($0) } ?? nil
      return new(part)
    }
    (part.n_settings, part.settings) = (parts.count, list(parts))
    return frame(id, HUBAUDIT__V1__SERVER_FRAME__REPLY_SETTINGS, part)
  }

  package func checkpoint(id: UInt64, note: [UInt8]) -> [UInt8] {
    var part = Hubaudit__V1__Checkpoint()
    hubaudit__v1__checkpoint__init(&part)
    (part.has_note, part.note) = (1, data(note))
    return frame(id, HUBAUDIT__V1__SERVER_FRAME__REPLY_CHECKPOINT, part)
  }

  package func proof(id: UInt64, _ proof: TreeProof) -> [UInt8] {
    var part = Hubaudit__V1__Proof()
    hubaudit__v1__proof__init(&part)
    (part.has_size, part.size) = (1, proof.size)
    (part.n_hashes, part.hashes) = (proof.hashes.count, list(proof.hashes.map { data($0) }))
    if let checkpoint = proof.checkpoint { (part.has_checkpoint, part.checkpoint) = (1, data(checkpoint)) }
    return frame(id, HUBAUDIT__V1__SERVER_FRAME__REPLY_PROOF, part)
  }

  package func erased(id: UInt64, sequence: UInt64) -> [UInt8] {
    var part = Hubaudit__V1__Erased()
    hubaudit__v1__erased__init(&part)
    (part.has_sequence, part.sequence) = (1, sequence)
    return frame(id, HUBAUDIT__V1__SERVER_FRAME__REPLY_ERASED, part)
  }

  package func schema(id: UInt64, descriptorSet: [UInt8], sha256: [UInt8]) -> [UInt8] {
    var part = Hubaudit__V1__Schema()
    hubaudit__v1__schema__init(&part)
    (part.has_file_descriptor_set, part.file_descriptor_set) = (1, data(descriptorSet))
    (part.has_sha256, part.sha256) = (1, data(sha256))
    return frame(id, HUBAUDIT__V1__SERVER_FRAME__REPLY_SCHEMA, part)
  }

  package func pong(id: UInt64, payload: [UInt8]) -> [UInt8] {
    var part = Hubaudit__V1__Pong()
    hubaudit__v1__pong__init(&part)
    (part.has_payload, part.payload) = (1, data(payload))
    return frame(id, HUBAUDIT__V1__SERVER_FRAME__REPLY_PONG, part)
  }

  /// - Parameter id: of the request; `nil` if the error is about the connection.
  package func error(id: UInt64?, _ error: RequestError) -> [UInt8] {
    frame(id, HUBAUDIT__V1__SERVER_FRAME__REPLY_ERROR, message(error))
  }

  private func message(_ error: RequestError) -> Hubaudit__V1__Error {
    var part = Hubaudit__V1__Error()
    hubaudit__v1__error__init(&part)
    (part.has_code, part.code) = (1, Hubaudit__V1__Error__Code(rawValue: error.code.rawValue))
    part.message = string(error.message)
    (part.has_retry, part.retry) = (1, error.isRetryable ? 1 : 0)
    (part.has_event, part.event) = (error.event == nil ? 0 : 1, UInt32(error.event ?? 0))
    (part.has_expected_producer_sequence, part.expected_producer_sequence) =
      (error.expectedProducerSequence == nil ? 0 : 1, error.expectedProducerSequence ?? 0)
    (part.has_differs_from, part.differs_from) = (error.differsFrom == nil ? 0 : 1, error.differsFrom ?? 0)
    return part
  }

  private func frame<Part>(_ id: UInt64?, _ replyCase: Hubaudit__V1__ServerFrame__ReplyCase, _ part: Part) -> [UInt8] {
    defer { arena.reset() }
    var message = CServerFrame()
    hubaudit__v1__server_frame__init(&message)
    if let id { (message.has_id, message.id) = (1, id) }
    message.reply_case = replyCase
    // All members of the union are pointers to messages, so any of them can be set; the case tells the type.
    message.welcome = UnsafeMutableRawPointer(new(part)).assumingMemoryBound(to: Hubaudit__V1__Welcome.self)
    return Framing.delimited(encodeMessage(&message))
  }

  // These cannot fail: the server's own replies are far smaller than the arena.

  private func new<T>(_ value: T) -> UnsafeMutablePointer<T> { unwrap { () throws(RequestError) in try arena.new(value) } }

  private func data(_ bytes: [UInt8]) -> ProtobufCBinaryData { unwrap { () throws(RequestError) in try arena.bytes(bytes) } }

  private func string(_ text: String) -> CString? {
    let clean = text.utf8.contains(0) ? text.filter { $0 != "\0" } : text
    return unwrap { () throws(RequestError) in try arena.string(present: clean, field: "text") }
  }

  private func list<T>(_ values: [T]) -> UnsafeMutablePointer<T>? {
    guard !values.isEmpty else { return nil }
    let memory = unwrap { () throws(RequestError) in try arena.allocate(T.self, count: values.count) }
    memory.initialize(from: values, count: values.count)
    return memory
  }

  private func unwrap<T>(_ body: () throws(RequestError) -> T) -> T {
    do throws(RequestError) { return try body() } catch { preconditionFailure("a reply does not fit its arena: \(error)") }
  }
}
