import CAuditDigest
import CAuditSchema

/// Turns events into records by the rules of AG2's `AuditLog` (which kinds are recorded, which fields are written, what null means).
///
/// Not for use by two threads at a time: it belongs to one event loop, like the arena.
package final class EventTranslator {
  private let arena: DecodeArena
  private let now: () -> UInt64
  private var salts = [UInt8](repeating: 0, count: 4096)
  private var saltsUsed = 4096

  /// - Parameters:
  ///   - arena: where the events were decoded, with room for what the translation adds.
  ///   - now: Unix time in ns; the record's `at` where an event has none.
  package init(arena: DecodeArena, now: @escaping () -> UInt64 = UTCTime.now) {
    self.arena = arena
    self.now = now
  }

  /// Encodes the record of each event, in order.
  ///
  /// - Parameters:
  ///   - append: an append as `ClientRequest` decoded it.
  ///   - firstNumber: the producer's number of the first event.
  ///   - recordLimit: bytes one record may take.
  ///   - ignored: gets the positions of the events that make no record.
  /// - Throws: an error that names the event; `records` is then as it was before.
  package func translate(
    _ append: AppendRequest, origin: RecordOrigin, firstNumber: UInt64?, recordLimit: Int, into records: EncodedRecords,
    ignored: inout [UInt32]
  ) throws(SchemaError) {
    let before = records.spans.count
    let ignoredBefore = ignored.count
    for index in 0..<append.count {
      do throws(SchemaError) {
        let event = append.events[index]!
        let number = firstNumber.map { $0 + UInt64(index) }
        if try !translate(event, origin: origin, number: number, limit: recordLimit, into: records) { ignored.append(UInt32(index)) }
      } catch {
        records.removeLast(from: before)
        ignored.removeLast(ignored.count - ignoredBefore)
        var located = error
        located.event = index
        throw located
      }
    }
  }

  private func translate(
    _ event: UnsafeMutablePointer<CEvent>, origin: RecordOrigin, number: UInt64?, limit: Int, into records: EncodedRecords
  ) throws(SchemaError) -> Bool {
    var record = Draft(records: records, origin: origin, number: number, limit: limit)
    hubaudit__v1__record_body__init(&record.body)
    record.body.salt = try salt()
    record.body.has_salt = 1
    let base = UnsafeMutableRawPointer(event).assumingMemoryBound(to: ProtobufCMessage.self)
    if caudit_has_unknown_fields(base) != 0 {
      record.body.event = try arena.bytes(encodeMessage(UnsafeMutableRawPointer(event)))
      record.body.has_event = 1
    }
    switch event.pointee.event_case {
    case HUBAUDIT__V1__EVENT__EVENT_AGENT: return try agent(&event.pointee.agent.pointee, &record)
    case HUBAUDIT__V1__EVENT__EVENT_CHANNEL: return try channel(&event.pointee.channel.pointee, &record)
    case HUBAUDIT__V1__EVENT__EVENT_EXPECTATION_FIRED: return try expectation(&event.pointee.expectation_fired.pointee, &record)
    case HUBAUDIT__V1__EVENT__EVENT_TASK: return try task(&event.pointee.task.pointee, &record)
    case HUBAUDIT__V1__EVENT__EVENT_TURN_FAILED: return try turnFailed(&event.pointee.turn_failed.pointee, &record)
    case HUBAUDIT__V1__EVENT__EVENT_CUSTOM: return try custom(event.pointee.custom, &record)
    case HUBAUDIT__V1__EVENT__EVENT_UNREADABLE_LINE: return try unreadableLine(&event.pointee.unreadable_line.pointee, &record)
    default: return false
    }
  }

  /// A record under construction.
  private struct Draft {
    var body = CRecordBody()
    let records: EncodedRecords
    let origin: RecordOrigin
    let number: UInt64?
    let limit: Int
  }

  // MARK: - The rules, event by event

  private func agent(_ event: inout Hubaudit__V1__AgentEvent, _ record: inout Draft) throws(SchemaError) -> Bool {
    guard let kind = event.kind else { return false }
    record.body.at = try at(event.at)
    if equals(kind, "registered") {
      var detail = Hubaudit__V1__AgentRegistered()
      hubaudit__v1__agent_registered__init(&detail)
      detail.agent_id = event.agent_id
      detail.name = event.name
      try encode(&detail, HUBAUDIT__V1__RECORD_BODY__DETAIL_AGENT_REGISTERED, &record, kind: "agent_registered")
    } else if equals(kind, "unregistered") {
      var detail = Hubaudit__V1__AgentUnregistered()
      hubaudit__v1__agent_unregistered__init(&detail)
      detail.agent_id = event.agent_id
      detail.name = event.name
      try encode(&detail, HUBAUDIT__V1__RECORD_BODY__DETAIL_AGENT_UNREGISTERED, &record, kind: "agent_unregistered")
    } else if equals(kind, "resume_set") || equals(kind, "observation_recorded") {
      let observed = equals(kind, "observation_recorded")
      var detail = Hubaudit__V1__ResumeSet()
      hubaudit__v1__resume_set__init(&detail)
      detail.agent_id = event.agent_id
      detail.has_source = 1
      detail.source = observed ? HUBAUDIT__V1__RESUME_SET__SOURCE__OBSERVED : HUBAUDIT__V1__RESUME_SET__SOURCE__TENANT
      detail.has_version = event.has_version
      detail.version = event.version
      if observed {
        detail.capability = event.capability
        detail.outcome = event.outcome
      }
      try encode(&detail, HUBAUDIT__V1__RECORD_BODY__DETAIL_RESUME_SET, &record, kind: "resume_set")
    } else if equals(kind, "skill_set") {
      var detail = Hubaudit__V1__SkillSet()
      hubaudit__v1__skill_set__init(&detail)
      detail.agent_id = event.agent_id
      detail.has_removed = event.has_removed_is_null != 0 && event.removed_is_null != 0 ? 0 : 1
      detail.removed = event.has_removed != 0 ? event.removed : 0
      try encode(&detail, HUBAUDIT__V1__RECORD_BODY__DETAIL_SKILL_SET, &record, kind: "skill_set")
    } else if equals(kind, "rule_set") {
      var detail = Hubaudit__V1__RuleSet()
      hubaudit__v1__rule_set__init(&detail)
      detail.agent_id = event.agent_id
      detail.has_version = event.has_version
      detail.version = event.version
      try encode(&detail, HUBAUDIT__V1__RECORD_BODY__DETAIL_RULE_SET, &record, kind: "rule_set")
    } else {
      return false
    }
    return true
  }

  private func channel(_ event: inout Hubaudit__V1__ChannelEvent, _ record: inout Draft) throws(SchemaError) -> Bool {
    guard let kind = event.kind else { return false }
    record.body.at = try at(event.at)
    if equals(kind, "created") {
      var detail = Hubaudit__V1__ChannelCreated()
      hubaudit__v1__channel_created__init(&detail)
      detail.channel_id = event.channel_id
      if let metadata = event.metadata {
        detail.has_with_metadata = 1
        detail.with_metadata = 1
        detail.manifest_type = metadata.pointee.manifest_type
        detail.has_manifest_version = metadata.pointee.has_manifest_version
        detail.manifest_version = metadata.pointee.manifest_version
        detail.creator_id = metadata.pointee.creator_id
        detail.n_participants = metadata.pointee.n_participants
        detail.participants = metadata.pointee.participants
      }
      if let list = event.participants {
        detail.n_participants = list.pointee.n_agent_ids
        detail.participants = list.pointee.agent_ids
      }
      if event.metadata != nil || event.participants != nil {
        detail.has_with_participants = 1
        detail.with_participants = 1
      }
      try encode(&detail, HUBAUDIT__V1__RECORD_BODY__DETAIL_CHANNEL_CREATED, &record, kind: "channel_created")
    } else if equals(kind, "closed") {
      var detail = Hubaudit__V1__ChannelClosed()
      hubaudit__v1__channel_closed__init(&detail)
      detail.channel_id = event.channel_id
      detail.reason = event.reason
      try encode(&detail, HUBAUDIT__V1__RECORD_BODY__DETAIL_CHANNEL_CLOSED, &record, kind: "channel_closed")
    } else if equals(kind, "expired") {
      var detail = Hubaudit__V1__ChannelExpired()
      hubaudit__v1__channel_expired__init(&detail)
      detail.channel_id = event.channel_id
      detail.reason = event.reason
      try encode(&detail, HUBAUDIT__V1__RECORD_BODY__DETAIL_CHANNEL_EXPIRED, &record, kind: "channel_expired")
    } else {
      return false
    }
    return true
  }

  private func expectation(_ event: inout Hubaudit__V1__ExpectationFired, _ record: inout Draft) throws(SchemaError) -> Bool {
    record.body.at = try at(event.at)
    var detail = Hubaudit__V1__ExpectationViolated()
    hubaudit__v1__expectation_violated__init(&detail)
    detail.channel_id = event.channel_id
    detail.expectation = event.expectation
    detail.on_violation = event.on_violation
    detail.n_violators = event.n_violators
    detail.violators = event.violators
    detail.has_params = 1
    detail.params = try object(event.has_params != 0 ? event.params : nil, named: "params")
    detail.has_detail = 1
    detail.detail = try object(event.has_detail != 0 ? event.detail : nil, named: "detail")
    try encode(&detail, HUBAUDIT__V1__RECORD_BODY__DETAIL_EXPECTATION_VIOLATED, &record, kind: "expectation_violated")
    return true
  }

  private func task(_ event: inout Hubaudit__V1__TaskEvent, _ record: inout Draft) throws(SchemaError) -> Bool {
    guard let kind = event.kind,
      equals(kind, "completed") || equals(kind, "failed") || equals(kind, "expired") || equals(kind, "cancelled")
    else { return false }
    record.body.at = try at(event.at)
    var detail = Hubaudit__V1__TaskTerminated()
    hubaudit__v1__task_terminated__init(&detail)
    detail.task_id = event.task_id
    detail.owner_id = event.owner_id
    detail.channel_id = event.channel_id
    let outcomeIsNull = event.has_outcome_is_null != 0 && event.outcome_is_null != 0
    detail.outcome = outcomeIsNull ? nil : event.outcome ?? kind
    detail.capability = event.capability
    detail.reason = event.reason
    try encode(&detail, HUBAUDIT__V1__RECORD_BODY__DETAIL_TASK_TERMINATED, &record, kind: "task_terminated")
    return true
  }

  private func turnFailed(_ event: inout Hubaudit__V1__TurnFailedEvent, _ record: inout Draft) throws(SchemaError) -> Bool {
    record.body.at = try at(event.at)
    var detail = Hubaudit__V1__TurnFailed()
    hubaudit__v1__turn_failed__init(&detail)
    detail.channel_id = event.channel_id
    detail.agent_id = event.agent_id
    detail.envelope_id = event.envelope_id
    detail.exc_type = event.exc_type
    detail.exc_message = event.exc_message
    try encode(&detail, HUBAUDIT__V1__RECORD_BODY__DETAIL_TURN_FAILED, &record, kind: "turn_failed")
    return true
  }

  private func custom(_ json: ProtobufCBinaryData, _ record: inout Draft) throws(SchemaError) -> Bool {
    let bytes = UnsafeRawBufferPointer(start: json.data, count: json.len)
    let members = try JSONText.object(bytes, named: "custom")
    var detail = Hubaudit__V1__Custom()
    hubaudit__v1__custom__init(&detail)
    detail.agent_id = try string(members.agentID, in: bytes)
    detail.channel_id = try string(members.channelID, in: bytes)
    detail.task_id = try string(members.taskID, in: bytes)
    detail.owner_id = try string(members.ownerID, in: bytes)
    detail.creator_id = try string(members.creatorID, in: bytes)
    (detail.participants, detail.n_participants) = try strings(members.participants, in: bytes)
    (detail.violators, detail.n_violators) = try strings(members.violators, in: bytes)
    detail.has_json = 1
    detail.json = json
    record.body.at = try string(members.at, in: bytes)
    let kind = members.kind.flatMap { JSONText.decoded(bytes, $0) } ?? []
    guard kind.count <= RecordOrigin.maximumNameBytes else {
      throw SchemaError(.limitExceeded, "the kind has \(kind.count) bytes; the limit is \(RecordOrigin.maximumNameBytes) bytes")
    }
    try kind.withUnsafeBufferPointer { (kind) throws(SchemaError) -> Void in
      try encode(&detail, HUBAUDIT__V1__RECORD_BODY__DETAIL_CUSTOM, &record, kind: UnsafeRawBufferPointer(kind))
    }
    return true
  }

  private func unreadableLine(_ event: inout Hubaudit__V1__UnreadableLineEvent, _ record: inout Draft) throws(SchemaError) -> Bool {
    var detail = Hubaudit__V1__UnreadableLine()
    hubaudit__v1__unreadable_line__init(&detail)
    detail.has_line = 1
    detail.line = event.line
    detail.has_unterminated = event.has_unterminated
    detail.unterminated = event.unterminated
    record.body.at = try at(nil)
    try encode(&detail, HUBAUDIT__V1__RECORD_BODY__DETAIL_UNREADABLE_LINE, &record, kind: "unreadable_line")
    return true
  }

  // MARK: - Parts

  private func encode<Detail>(
    _ detail: inout Detail, _ detailCase: Hubaudit__V1__RecordBody__DetailCase, _ record: inout Draft, kind: StaticString
  ) throws(SchemaError) {
    try encode(&detail, detailCase, &record, kind: UnsafeRawBufferPointer(start: kind.utf8Start, count: kind.utf8CodeUnitCount))
  }

  private func encode<Detail>(
    _ detail: inout Detail, _ detailCase: Hubaudit__V1__RecordBody__DetailCase, _ record: inout Draft, kind: UnsafeRawBufferPointer
  ) throws(SchemaError) {
    try withUnsafeMutablePointer(to: &detail) { (detail: UnsafeMutablePointer<Detail>) throws(SchemaError) -> Void in
      record.body.detail_case = detailCase
      // Every member of the union is a pointer to a message; the case says to which.
      record.body.custom = UnsafeMutableRawPointer(detail).assumingMemoryBound(to: Hubaudit__V1__Custom.self)
      try record.records.append(&record.body, kind: kind, origin: record.origin, number: record.number, limit: record.limit)
    }
  }

  private func equals(_ text: CString, _ name: StaticString) -> Bool {
    name.withUTF8Buffer { name in
      for index in 0..<name.count where UInt8(bitPattern: text[index]) != name[index] { return false }
      return text[name.count] == 0
    }
  }

  /// The event's own time; absent and empty fall back to the clock.
  private func at(_ text: CString?) throws(SchemaError) -> CString? {
    if let text, text.pointee != 0 { return text }
    return try arena.string(present: UTCTime.iso8601Microseconds(now()), field: "at")
  }

  private func object(_ json: ProtobufCBinaryData?, named name: StaticString) throws(SchemaError) -> ProtobufCBinaryData {
    guard let json else { return try arena.bytes("{}".utf8) }
    _ = try JSONText.object(UnsafeRawBufferPointer(start: json.data, count: json.len), named: name)
    return json
  }

  private func string(_ text: JSONText.Text?, in bytes: UnsafeRawBufferPointer) throws(SchemaError) -> CString? {
    guard let text, let decoded = JSONText.decoded(bytes, text) else { return nil }
    let copy = try arena.bytes(decoded + [0])
    return UnsafeMutableRawPointer(copy.data!).assumingMemoryBound(to: CChar.self)
  }

  private func strings(
    _ texts: [JSONText.Text], in bytes: UnsafeRawBufferPointer
  ) throws(SchemaError) -> (UnsafeMutablePointer<CString?>?, Int) {
    var decoded: [CString] = []
    for text in texts { if let one = try string(text, in: bytes) { decoded.append(one) } }
    guard !decoded.isEmpty else { return (nil, 0) }
    let list = try arena.allocate(CString?.self, count: decoded.count)
    for (index, one) in decoded.enumerated() { (list + index).initialize(to: one) }
    return (list, decoded.count)
  }

  /// 16 bytes from the random generator, which is asked for 4 KiB at a time.
  private func salt() throws(SchemaError) -> ProtobufCBinaryData {
    if saltsUsed == salts.count {
      guard salts.withUnsafeMutableBytes({ caudit_random($0.baseAddress, $0.count) }) == 0 else {
        throw SchemaError(.internal, "the system's random generator gives no bytes, so that no body can be salted")
      }
      saltsUsed = 0
    }
    let salt = try arena.allocate(UInt8.self, count: 16)
    salts.withUnsafeBytes { UnsafeMutableRawPointer(salt).copyMemory(from: $0.baseAddress! + saltsUsed, byteCount: 16) }
    saltsUsed += 16
    return ProtobufCBinaryData(len: 16, data: salt)
  }
}
