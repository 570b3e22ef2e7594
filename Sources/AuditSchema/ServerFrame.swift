import CAuditSchema

/// A frame from the server, as a client decodes it.
package struct ServerFrame {
  package enum Reply {
    case welcome(Welcome)
    case appended(Appended)
    /// `batch`: the range of the `RecordBatch` in the frame. `leafHash`: of record `next - 1`, if that is not the last of the batch.
    case records(next: UInt64, leafHash: [UInt8]?, batch: Range<Int>)
    case readEnd(ReadEnd)
    /// `erasedSkipped`: number of erased records that the subscription has skipped.
    case subscription(SubscriptionState, erasedSkipped: UInt64)
    case health(Health)
    case settings([ServerSetting])
    /// A signed checkpoint.
    case checkpoint([UInt8])
    case proof(TreeProof)
    case erased(sequence: UInt64)
    case schema(descriptorSet: [UInt8], sha256: [UInt8])
    case pong(payload: [UInt8])
    /// `expiresAt`: Unix time in ns; `nil`: never.
    case authenticated(identity: String, expiresAt: UInt64?)
    case error(RequestError)
    /// A reply of a type that this client does not know.
    case unknown
  }

  /// Id of the request; `nil` if the frame is about the connection.
  package var id: UInt64?
  package var reply: Reply

  /// Decodes a frame without its length prefix. Unknown fields are ignored.
  ///
  /// - Throws: `malformedFrame` and other codes for a malformed frame.
  package init(_ frame: UnsafeRawBufferPointer, in arena: DecodeArena) throws(RequestError) {
    if let ordinary = AppendedFrame(frame) {
      id = ordinary.id
      reply = .appended(ordinary.appended)
      return
    }
    if let (id, records) = Self.records(frame) {
      self.id = id
      reply = records
      return
    }
    defer { arena.reset() }
    let message = try decode(CServerFrame.self, descriptor.pointer, frame, lenient: true, in: arena)
    id = message.pointee.has_id != 0 ? message.pointee.id : nil
    reply = try Self.reply(&message.pointee)
  }

  /// Reads the envelope of a frame with records. The records stay encoded, to be read one by one in place.
  private static func records(_ frame: UnsafeRawBufferPointer) -> (UInt64?, Reply)? {
    var fields = WireReader(frame)
    var id: UInt64?
    while let field = fields.next() {
      if field.number == Fields.ServerFrame.id.number { id = field.value }
      guard field.number == Fields.ServerFrame.records.number, let content = field.bytes.baseAddress else { continue }
      let offset = content - frame.baseAddress!
      var next: UInt64 = 0
      var leafHash: [UInt8]?
      var batch = offset..<offset
      var parts = WireReader(field.bytes)
      while let part = parts.next() {
        if part.number == Fields.Records.nextSequence.number { next = part.value }
        if part.number == Fields.Records.leafHash.number { leafHash = Array(part.bytes) }
        if part.number == Fields.Records.batch.number, let start = part.bytes.baseAddress {
          let first = start - frame.baseAddress!
          batch = first..<first + part.bytes.count
        }
      }
      return (id, .records(next: next, leafHash: leafHash, batch: batch))
    }
    return nil
  }

  private static func reply(_ frame: inout CServerFrame) throws(RequestError) -> Reply {
    switch frame.reply_case {
    case HUBAUDIT__V1__SERVER_FRAME__REPLY_WELCOME:
      let part = frame.welcome.pointee
      var limits = WireLimits()
      if let told = part.limits?.pointee {
        limits.frameBytes = told.frame_bytes
        limits.recordBytes = told.record_bytes
        limits.appendEvents = told.append_events
        limits.pendingAppendBytes = told.pending_append_bytes
        limits.subscriptions = told.subscriptions
        limits.reads = told.reads
        limits.creditBytes = told.credit_bytes
        limits.filterValues = told.filter_values
        limits.filterBytes = told.filter_bytes
        limits.hubProducers = told.hub_producers
      }
      try check([
        part.first_sequence, part.next_sequence, part.producer_next, part.producer_taken_at, limits.frameBytes, limits.creditBytes,
      ])
      var welcome = Welcome(
        version: part.version, server: text(part.server) ?? "", logID: bytes(part.log_id), firstSequence: part.first_sequence,
        nextSequence: part.next_sequence, producerNext: part.has_producer_next != 0 ? part.producer_next : nil,
        identity: text(part.identity) ?? "", limits: limits)
      welcome.sessionToken = part.has_session_token != 0 ? bytes(part.session_token) : nil
      welcome.isProducerForgotten = part.producer_forgotten != 0
      welcome.producerTakenAt = part.has_producer_taken_at != 0 ? part.producer_taken_at : nil
      welcome.expiresAt = part.has_expires_at != 0 ? part.expires_at : nil
      return .welcome(welcome)
    case HUBAUDIT__V1__SERVER_FRAME__REPLY_APPENDED:
      let part = frame.appended.pointee
      let scattered = Array(UnsafeBufferPointer(start: part.sequences, count: part.n_sequences))
      try check([part.first_sequence] + scattered)
      var appended = Appended(
        recorded: Int(part.recorded), ignoredEvents: Array(UnsafeBufferPointer(start: part.ignored_events, count: part.n_ignored_events)),
        firstSequence: part.has_first_sequence != 0 ? part.first_sequence : nil, duplicates: Int(part.duplicates),
        scatteredSequences: scattered)
      appended.checkpoint = part.has_checkpoint != 0 ? bytes(part.checkpoint) : nil
      appended.proofs = (0..<part.n_proofs).map { bytes(part.proofs[$0]) }
      return .appended(appended)
    case HUBAUDIT__V1__SERVER_FRAME__REPLY_READ_END:
      let part = frame.read_end.pointee
      return .readEnd(
        ReadEnd(
          next: part.next_sequence, records: part.records, leafHash: part.has_leaf_hash != 0 ? bytes(part.leaf_hash) : nil,
          erasedSkipped: part.erased_skipped))
    case HUBAUDIT__V1__SERVER_FRAME__REPLY_SUBSCRIPTION:
      let part = frame.subscription.pointee
      let leafHash = part.has_leaf_hash != 0 ? bytes(part.leaf_hash) : nil
      switch part.state {
      case HUBAUDIT__V1__SUBSCRIPTION_STATE__STATE__STATE_CAUGHT_UP:
        return .subscription(
          .caughtUp(
            next: part.next_sequence, leafHash: leafHash, checkpoint: part.has_checkpoint != 0 ? bytes(part.checkpoint) : nil),
          erasedSkipped: part.erased_skipped)
      case HUBAUDIT__V1__SUBSCRIPTION_STATE__STATE__STATE_PROGRESS:
        return .subscription(.progress(next: part.next_sequence, leafHash: leafHash), erasedSkipped: part.erased_skipped)
      case HUBAUDIT__V1__SUBSCRIPTION_STATE__STATE__STATE_ENDED:
        return .subscription(
          .ended(next: part.next_sequence, part.error.map { error($0.pointee) }), erasedSkipped: part.erased_skipped)
      default: return .unknown
      }
    case HUBAUDIT__V1__SERVER_FRAME__REPLY_AUTHENTICATED:
      let part = frame.authenticated.pointee
      return .authenticated(identity: text(part.identity) ?? "", expiresAt: part.has_expires_at != 0 ? part.expires_at : nil)
    case HUBAUDIT__V1__SERVER_FRAME__REPLY_HEALTH: return .health(health(frame.health.pointee))
    case HUBAUDIT__V1__SERVER_FRAME__REPLY_SETTINGS:
      let part = frame.settings.pointee
      return .settings((0..<part.n_settings).map { setting(part.settings[$0]!.pointee) })
    case HUBAUDIT__V1__SERVER_FRAME__REPLY_CHECKPOINT: return .checkpoint(bytes(frame.checkpoint.pointee.note))
    case HUBAUDIT__V1__SERVER_FRAME__REPLY_ERASED: return .erased(sequence: frame.erased.pointee.sequence)
    case HUBAUDIT__V1__SERVER_FRAME__REPLY_PROOF:
      let part = frame.proof.pointee
      return .proof(
        TreeProof(
          size: part.size, hashes: (0..<part.n_hashes).map { bytes(part.hashes[$0]) },
          checkpoint: part.has_checkpoint != 0 ? bytes(part.checkpoint) : nil))
    case HUBAUDIT__V1__SERVER_FRAME__REPLY_SCHEMA:
      return .schema(descriptorSet: bytes(frame.schema.pointee.file_descriptor_set), sha256: bytes(frame.schema.pointee.sha256))
    case HUBAUDIT__V1__SERVER_FRAME__REPLY_PONG: return .pong(payload: bytes(frame.pong.pointee.payload))
    case HUBAUDIT__V1__SERVER_FRAME__REPLY_ERROR: return .error(error(frame.error.pointee))
    default: return .unknown
    }
  }

  /// Checks that positions and sizes are at most `Record.maximumSequence`, so that adding to them cannot overflow.
  private static func check(_ numbers: [UInt64]) throws(RequestError) {
    for number in numbers where number > Record.maximumSequence {
      throw RequestError(.malformedFrame, "the position or size \(number) is greater than \(Record.maximumSequence), the maximum of a log")
    }
  }

  private static func health(_ part: Hubaudit__V1__Health) -> Health {
    var health = Health()
    health.status = Health.Status(rawValue: part.status.rawValue) ?? .degraded
    health.reasons = (0..<part.n_reasons).map { String(cString: part.reasons[$0]!) }
    health.server = text(part.server) ?? ""
    health.logID = bytes(part.log_id)
    health.firstSequence = part.first_sequence
    health.nextSequence = part.next_sequence
    health.logBytes = part.log_bytes
    health.segments = part.segments
    health.uptimeNanoseconds = part.uptime_ns
    health.recordsAppended = part.records_appended
    health.commits = part.commits
    health.connections = part.connections
    health.subscriptions = part.subscriptions
    health.tornBytes = part.torn_bytes
    health.tornFile = text(part.torn_file)
    health.scrubbedRecords = part.scrubbed_records
    health.scrubbedBytes = part.scrubbed_bytes
    health.scrubRounds = part.scrub_rounds
    health.damage = (0..<part.n_damage).map { String(cString: part.damage[$0]!) }
    health.clockSteps = part.clock_steps
    if part.has_clock_stepped_from != 0, part.has_clock_stepped_to != 0 {
      health.clockStep = ClockStep(from: part.clock_stepped_from, to: part.clock_stepped_to)
    }
    health.checkpointSize = part.has_checkpoint_size != 0 ? part.checkpoint_size : nil
    health.now = part.now
    health.signer = text(part.signer)
    health.checkpointStoredAt = part.has_checkpoint_stored_at != 0 ? part.checkpoint_stored_at : nil
    health.witnesses = (0..<part.n_witnesses).map { witness(part.witnesses[$0]!.pointee) }
    if part.has_quorum_size != 0 {
      health.quorum = Health.Quorum(size: part.quorum_size, storedAt: part.has_quorum_stored_at != 0 ? part.quorum_stored_at : nil)
    }
    health.scrubEndedAt = part.has_scrub_ended_at != 0 ? part.scrub_ended_at : nil
    return health
  }

  private static func witness(_ part: Hubaudit__V1__WitnessHealth) -> WitnessHealth {
    WitnessHealth(
      name: text(part.name) ?? "", cosignedSize: part.has_cosigned_size != 0 ? part.cosigned_size : nil,
      cosignedAt: part.has_cosigned_at != 0 ? part.cosigned_at : nil, failure: text(part.failure), isContradicted: part.contradicts != 0)
  }

  private static func setting(_ part: Hubaudit__V1__Setting) -> ServerSetting {
    ServerSetting(
      name: text(part.name) ?? "", value: text(part.value) ?? "", source: ServerSetting.Source(rawValue: part.source.rawValue) ?? .builtIn,
      origin: text(part.origin))
  }

  private static func error(_ part: Hubaudit__V1__Error) -> RequestError {
    let code = RequestError.Code(rawValue: UInt32(part.code.rawValue)) ?? .internal
    return RequestError(
      code, text(part.message) ?? "",
      event: part.has_event != 0 ? Int(part.event) : nil,
      expectedProducerSequence: part.has_expected_producer_sequence != 0 ? part.expected_producer_sequence : nil,
      differsFrom: part.has_differs_from != 0 ? part.differs_from : nil,
      mayRetry: part.has_retry != 0 && (part.retry != 0) != code.isRetryable ? part.retry != 0 : nil)
  }
}

private let descriptor = MessageDescriptor(hubaudit__v1__server_frame__descriptor)
