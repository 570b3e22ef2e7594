import CAuditSchema

/// Writes records as AG2's `AuditLog` does: `json.dumps(record, sort_keys=True)`, ASCII only.
enum RecordJSON {
  /// - Returns: whether the body may have unknown fields.
  static func append(
    body: UnsafeRawBufferPointer, kind: UnsafeBufferPointer<UInt8>?, _ form: JSONForm, to out: TextBuffer, in arena: DecodeArena
  ) throws(RequestError) -> Bool {
    var hasUnknown = false
    let body = try decode(CRecordBody.self, descriptor.pointer, body, lenient: true, hasUnknown: &hasUnknown, in: arena)
    // The record contains the original event, whose unknown fields must be listed.
    if body.pointee.has_event != 0 { hasUnknown = true }
    if body.pointee.detail_case == HUBAUDIT__V1__RECORD_BODY__DETAIL_CUSTOM {
      form.append(body.pointee.custom.pointee.json, to: out)
      return hasUnknown
    }
    var object = ObjectWriter(appendingTo: out)
    let at = body.pointee.at
    switch body.pointee.detail_case {
    case HUBAUDIT__V1__RECORD_BODY__DETAIL_AGENT_REGISTERED:
      let detail = body.pointee.agent_registered.pointee
      object.text("agent_id", detail.agent_id)
      object.text("at", at)
      object.literal("kind", "agent_registered")
      object.text("name", detail.name)
    case HUBAUDIT__V1__RECORD_BODY__DETAIL_AGENT_UNREGISTERED:
      let detail = body.pointee.agent_unregistered.pointee
      object.text("agent_id", detail.agent_id)
      object.text("at", at)
      object.literal("kind", "agent_unregistered")
      object.text("name", detail.name)
    case HUBAUDIT__V1__RECORD_BODY__DETAIL_RESUME_SET:
      let detail = body.pointee.resume_set.pointee
      let observed = detail.source == HUBAUDIT__V1__RESUME_SET__SOURCE__SOURCE_OBSERVED
      object.text("agent_id", detail.agent_id)
      object.text("at", at)
      if observed { object.text("capability", detail.capability) }
      object.literal("kind", "resume_set")
      if observed { object.text("outcome", detail.outcome) }
      object.literal("source", observed ? "observed" : "tenant")
      object.number("version", detail.has_version != 0 ? detail.version : nil)
    case HUBAUDIT__V1__RECORD_BODY__DETAIL_SKILL_SET:
      let detail = body.pointee.skill_set.pointee
      object.text("agent_id", detail.agent_id)
      object.text("at", at)
      object.literal("kind", "skill_set")
      object.token("removed", detail.has_removed == 0 ? "null" : detail.removed != 0 ? "true" : "false")
    case HUBAUDIT__V1__RECORD_BODY__DETAIL_RULE_SET:
      let detail = body.pointee.rule_set.pointee
      object.text("agent_id", detail.agent_id)
      object.text("at", at)
      object.literal("kind", "rule_set")
      object.number("version", detail.has_version != 0 ? detail.version : nil)
    case HUBAUDIT__V1__RECORD_BODY__DETAIL_CHANNEL_CREATED:
      let detail = body.pointee.channel_created.pointee
      object.text("at", at)
      object.text("channel_id", detail.channel_id)
      if detail.with_metadata != 0 { object.text("creator_id", detail.creator_id) }
      object.literal("kind", "channel_created")
      if detail.with_metadata != 0 {
        object.text("manifest_type", detail.manifest_type)
        object.number("manifest_version", detail.has_manifest_version != 0 ? detail.manifest_version : nil)
      }
      if detail.with_participants != 0 { object.texts("participants", detail.participants, detail.n_participants) }
    case HUBAUDIT__V1__RECORD_BODY__DETAIL_CHANNEL_CLOSED:
      let detail = body.pointee.channel_closed.pointee
      object.text("at", at)
      object.text("channel_id", detail.channel_id)
      object.literal("kind", "channel_closed")
      object.text("reason", detail.reason)
    case HUBAUDIT__V1__RECORD_BODY__DETAIL_CHANNEL_EXPIRED:
      let detail = body.pointee.channel_expired.pointee
      object.text("at", at)
      object.text("channel_id", detail.channel_id)
      object.literal("kind", "channel_expired")
      object.text("reason", detail.reason)
    case HUBAUDIT__V1__RECORD_BODY__DETAIL_EXPECTATION_VIOLATED:
      let detail = body.pointee.expectation_violated.pointee
      object.text("at", at)
      object.text("channel_id", detail.channel_id)
      object.json("detail", detail.detail, form)
      object.text("expectation", detail.expectation)
      object.literal("kind", "expectation_violated")
      object.text("on_violation", detail.on_violation)
      object.json("params", detail.params, form)
      object.texts("violators", detail.violators, detail.n_violators)
    case HUBAUDIT__V1__RECORD_BODY__DETAIL_TASK_TERMINATED:
      let detail = body.pointee.task_terminated.pointee
      object.text("at", at)
      object.text("capability", detail.capability)
      object.text("channel_id", detail.channel_id)
      object.literal("kind", "task_terminated")
      object.text("outcome", detail.outcome)
      object.text("owner_id", detail.owner_id)
      object.text("reason", detail.reason)
      object.text("task_id", detail.task_id)
    case HUBAUDIT__V1__RECORD_BODY__DETAIL_TURN_FAILED:
      let detail = body.pointee.turn_failed.pointee
      object.text("agent_id", detail.agent_id)
      object.text("at", at)
      object.text("channel_id", detail.channel_id)
      object.text("envelope_id", detail.envelope_id)
      object.text("exc_message", detail.exc_message)
      object.text("exc_type", detail.exc_type)
      object.literal("kind", "turn_failed")
    case HUBAUDIT__V1__RECORD_BODY__DETAIL_UNREADABLE_LINE:
      let detail = body.pointee.unreadable_line.pointee
      object.literal("kind", "unreadable_line")
      object.string("line", AuditSchema.bytes(detail.line))
      object.token("unterminated", detail.unterminated != 0 ? "true" : "false")
    case HUBAUDIT__V1__RECORD_BODY__DETAIL_UNRECOGNISED:
      let detail = body.pointee.unrecognised.pointee
      if detail.agent_id != nil { object.text("agent_id", detail.agent_id) }
      object.text("at", at)
      if detail.channel_id != nil { object.text("channel_id", detail.channel_id) }
      if detail.creator_id != nil { object.text("creator_id", detail.creator_id) }
      object.hex("event", UnsafeBufferPointer(start: body.pointee.event.data, count: body.pointee.event.len))
      object.token("event_field", detail.has_event_field != 0 ? "\(detail.event_field)" : "null")
      object.text("event_kind", detail.event_kind)
      object.literal("kind", "unrecognised")
      if detail.owner_id != nil { object.text("owner_id", detail.owner_id) }
      if detail.n_participants > 0 { object.texts("participants", detail.participants, detail.n_participants) }
      if detail.task_id != nil { object.text("task_id", detail.task_id) }
      if detail.n_violators > 0 { object.texts("violators", detail.violators, detail.n_violators) }
    default:
      // A detail of a newer schema; `Record.unknownFields` returns its bytes.
      object.text("at", at)
      object.text("kind", kind)
    }
    object.end()
    return hasUnknown
  }

  /// The original bytes of an unreadable line.
  static func unreadableLine(body: UnsafeRawBufferPointer, in arena: DecodeArena) throws(RequestError) -> (
    line: [UInt8], unterminated: Bool
  )? {
    let body = try decode(CRecordBody.self, descriptor.pointer, body, lenient: true, in: arena)
    guard body.pointee.detail_case == HUBAUDIT__V1__RECORD_BODY__DETAIL_UNREADABLE_LINE else { return nil }
    let detail = body.pointee.unreadable_line.pointee
    return (AuditSchema.bytes(detail.line), detail.unterminated != 0)
  }
}

private let descriptor = MessageDescriptor(hubaudit__v1__record_body__descriptor)
