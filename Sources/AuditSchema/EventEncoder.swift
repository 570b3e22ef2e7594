import CAuditSchema

/// Encodes events for the wire.
package final class EventEncoder {
  private let arena = DecodeArena(limitBytes: 64 << 20)

  package init() {}

  /// The bytes of a `hubaudit.v1.Event`.
  ///
  /// - Throws: `invalidText` for text with a NUL character.
  package func encode(_ event: Event) throws(RequestError) -> [UInt8] {
    defer { arena.reset() }
    var message = CEvent()
    hubaudit__v1__event__init(&message)
    switch event {
    case .agent(let event): try fill(&message, event)
    case .channel(let event): try fill(&message, event)
    case .expectationFired(let event): try fill(&message, event)
    case .task(let event): try fill(&message, event)
    case .turnFailed(let event): try fill(&message, event)
    case .envelopePosted(let event): try fill(&message, event)
    case .envelopeRejected(let event): try fill(&message, event)
    case .dispatchFailed(let event): try fill(&message, event)
    case .inboxPressure(let event): try fill(&message, event)
    case .custom(let json):
      message.event_case = HUBAUDIT__V1__EVENT__EVENT_CUSTOM
      message.custom = try arena.bytes(json)
    case .unreadableLine(let line, let unterminated):
      var part = Hubaudit__V1__UnreadableLineEvent()
      hubaudit__v1__unreadable_line_event__init(&part)
      part.has_line = 1
      part.line = try arena.bytes(line)
      part.has_unterminated = unterminated ? 1 : 0
      part.unterminated = unterminated ? 1 : 0
      message.event_case = HUBAUDIT__V1__EVENT__EVENT_UNREADABLE_LINE
      message.unreadable_line = try arena.new(part)
    }
    return encodeMessage(&message)
  }

  private func fill(_ message: inout CEvent, _ event: AgentEvent) throws(RequestError) {
    var part = Hubaudit__V1__AgentEvent()
    hubaudit__v1__agent_event__init(&part)
    part.agent_id = try arena.string(event.agentID, field: "agent_id")
    part.kind = try arena.string(event.kind, field: "kind")
    part.at = try arena.string(event.at, field: "at")
    part.name = try arena.string(event.name, field: "name")
    part.has_version = event.version == nil ? 0 : 1
    part.version = event.version ?? 0
    part.capability = try arena.string(event.capability, field: "capability")
    part.outcome = try arena.string(event.outcome, field: "outcome")
    part.has_removed = event.removed == nil ? 0 : 1
    part.removed = event.removed == true ? 1 : 0
    part.has_removed_is_null = event.removedIsNull ? 1 : 0
    part.removed_is_null = event.removedIsNull ? 1 : 0
    message.event_case = HUBAUDIT__V1__EVENT__EVENT_AGENT
    message.agent = try arena.new(part)
  }

  private func fill(_ message: inout CEvent, _ event: ChannelEvent) throws(RequestError) {
    var part = Hubaudit__V1__ChannelEvent()
    hubaudit__v1__channel_event__init(&part)
    part.channel_id = try arena.string(event.channelID, field: "channel_id")
    part.kind = try arena.string(event.kind, field: "kind")
    part.at = try arena.string(event.at, field: "at")
    part.reason = try arena.string(event.reason, field: "reason")
    if let metadata = event.metadata {
      var inner = Hubaudit__V1__ChannelMetadata()
      hubaudit__v1__channel_metadata__init(&inner)
      inner.manifest_type = try arena.string(metadata.manifestType, field: "manifest_type")
      inner.has_manifest_version = metadata.manifestVersion == nil ? 0 : 1
      inner.manifest_version = metadata.manifestVersion ?? 0
      inner.creator_id = try arena.string(metadata.creatorID, field: "creator_id")
      inner.n_participants = metadata.participants.count
      inner.participants = try arena.strings(metadata.participants, field: "participants")
      part.metadata = try arena.new(inner)
    }
    if let participants = event.participants {
      var inner = Hubaudit__V1__AgentList()
      hubaudit__v1__agent_list__init(&inner)
      inner.n_agent_ids = participants.count
      inner.agent_ids = try arena.strings(participants, field: "participants")
      part.participants = try arena.new(inner)
    }
    message.event_case = HUBAUDIT__V1__EVENT__EVENT_CHANNEL
    message.channel = try arena.new(part)
  }

  private func fill(_ message: inout CEvent, _ event: ExpectationFired) throws(RequestError) {
    var part = Hubaudit__V1__ExpectationFired()
    hubaudit__v1__expectation_fired__init(&part)
    part.channel_id = try arena.string(event.channelID, field: "channel_id")
    part.at = try arena.string(event.at, field: "at")
    part.expectation = try arena.string(event.expectation, field: "expectation")
    part.on_violation = try arena.string(event.onViolation, field: "on_violation")
    if let params = event.params {
      part.has_params = 1
      part.params = try arena.bytes(params)
    }
    part.n_violators = event.violators.count
    part.violators = try arena.strings(event.violators, field: "violators")
    if let detail = event.detail {
      part.has_detail = 1
      part.detail = try arena.bytes(detail)
    }
    message.event_case = HUBAUDIT__V1__EVENT__EVENT_EXPECTATION_FIRED
    message.expectation_fired = try arena.new(part)
  }

  private func fill(_ message: inout CEvent, _ event: TaskEvent) throws(RequestError) {
    var part = Hubaudit__V1__TaskEvent()
    hubaudit__v1__task_event__init(&part)
    part.task_id = try arena.string(event.taskID, field: "task_id")
    part.kind = try arena.string(event.kind, field: "kind")
    part.at = try arena.string(event.at, field: "at")
    part.owner_id = try arena.string(event.ownerID, field: "owner_id")
    part.channel_id = try arena.string(event.channelID, field: "channel_id")
    part.outcome = try arena.string(event.outcome, field: "outcome")
    part.has_outcome_is_null = event.outcomeIsNull ? 1 : 0
    part.outcome_is_null = event.outcomeIsNull ? 1 : 0
    part.capability = try arena.string(event.capability, field: "capability")
    part.reason = try arena.string(event.reason, field: "reason")
    part.started_at = try arena.string(event.startedAt, field: "started_at")
    message.event_case = HUBAUDIT__V1__EVENT__EVENT_TASK
    message.task = try arena.new(part)
  }

  private func fill(_ message: inout CEvent, _ event: TurnFailed) throws(RequestError) {
    var part = Hubaudit__V1__TurnFailedEvent()
    hubaudit__v1__turn_failed_event__init(&part)
    part.channel_id = try arena.string(event.channelID, field: "channel_id")
    part.agent_id = try arena.string(event.agentID, field: "agent_id")
    part.envelope_id = try arena.string(event.envelopeID, field: "envelope_id")
    part.exc_type = try arena.string(event.exceptionType, field: "exc_type")
    part.exc_message = try arena.string(event.exceptionMessage, field: "exc_message")
    part.at = try arena.string(event.at, field: "at")
    message.event_case = HUBAUDIT__V1__EVENT__EVENT_TURN_FAILED
    message.turn_failed = try arena.new(part)
  }

  private func fill(_ message: inout CEvent, _ event: EnvelopePosted) throws(RequestError) {
    var part = Hubaudit__V1__EnvelopePosted()
    hubaudit__v1__envelope_posted__init(&part)
    part.envelope_id = try arena.string(event.envelopeID, field: "envelope_id")
    part.channel_id = try arena.string(event.channelID, field: "channel_id")
    part.sender_id = try arena.string(event.senderID, field: "sender_id")
    message.event_case = HUBAUDIT__V1__EVENT__EVENT_ENVELOPE_POSTED
    message.envelope_posted = try arena.new(part)
  }

  private func fill(_ message: inout CEvent, _ event: EnvelopeRejected) throws(RequestError) {
    var part = Hubaudit__V1__EnvelopeRejected()
    hubaudit__v1__envelope_rejected__init(&part)
    part.envelope_id = try arena.string(event.envelopeID, field: "envelope_id")
    part.channel_id = try arena.string(event.channelID, field: "channel_id")
    part.sender_id = try arena.string(event.senderID, field: "sender_id")
    part.reason = try arena.string(event.reason, field: "reason")
    message.event_case = HUBAUDIT__V1__EVENT__EVENT_ENVELOPE_REJECTED
    message.envelope_rejected = try arena.new(part)
  }

  private func fill(_ message: inout CEvent, _ event: DispatchFailed) throws(RequestError) {
    var part = Hubaudit__V1__DispatchFailed()
    hubaudit__v1__dispatch_failed__init(&part)
    part.envelope_id = try arena.string(event.envelopeID, field: "envelope_id")
    part.channel_id = try arena.string(event.channelID, field: "channel_id")
    part.recipient_id = try arena.string(event.recipientID, field: "recipient_id")
    part.reason = try arena.string(event.reason, field: "reason")
    message.event_case = HUBAUDIT__V1__EVENT__EVENT_DISPATCH_FAILED
    message.dispatch_failed = try arena.new(part)
  }

  private func fill(_ message: inout CEvent, _ event: InboxPressure) throws(RequestError) {
    var part = Hubaudit__V1__InboxPressure()
    hubaudit__v1__inbox_pressure__init(&part)
    part.agent_id = try arena.string(event.agentID, field: "agent_id")
    part.has_pending = 1
    part.pending = event.pending
    part.has_capacity = 1
    part.capacity = event.capacity
    message.event_case = HUBAUDIT__V1__EVENT__EVENT_INBOX_PRESSURE
    message.inbox_pressure = try arena.new(part)
  }
}
