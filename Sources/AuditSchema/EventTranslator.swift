import CAuditDigest
import CAuditSchema

/// Turns events into records by the rules of AG2's `AuditLog`: which kinds are recorded, which fields are written, what null means.
///
/// It reads an event in place and writes its record straight into the batch, so content is copied once. For one thread at a time, like its
/// arena.
package final class EventTranslator {
  private let arena: DecodeArena
  private let now: () -> UInt64
  private let event: UnsafeMutablePointer<caudit_event>
  private let salts: UnsafeMutableRawPointer
  // Exclusivity checks are off, as measured in `EncodedRecords`. Invariant: one thread at a time, and no access calls back.
  @exclusivity(unchecked) private var saltsUsed = EventTranslator.saltPoolBytes
  private static let saltPoolBytes = 4096
  /// Maximum number of fields of a detail, without the elements of its list.
  private static let detailFields = 12

  /// - Parameters:
  ///   - arena: for fields that the translation adds.
  ///   - now: Unix time in ns, for the record's `at` if an event has none.
  package init(arena: DecodeArena, now: @escaping () -> UInt64 = UTCTime.now) {
    self.arena = arena
    self.now = now
    event = .allocate(capacity: 1)
    salts = .allocate(byteCount: Self.saltPoolBytes, alignment: 16)
  }

  deinit {
    event.deallocate()
    salts.deallocate()
  }

  /// Encodes the record of each event, in order.
  ///
  /// - Parameters:
  ///   - append: an append decoded by `ClientFrame`.
  ///   - firstNumber: the producer's number of the first event; `nil`: no numbers.
  ///   - recordLimit: maximum bytes of a record.
  /// - Throws: an error with the index of the event at fault. `records` is then unchanged.
  @discardableResult
  package func translate(
    _ append: AppendRequest, origin: borrowing RecordOrigin, firstNumber: UInt64?, recordLimit: Int, into records: borrowing EncodedRecords
  ) throws(RequestError) -> EncodedRecords.Part {
    let part = records.nextPart
    var parts = WireReader(append.content)
    var index = 0
    do throws(RequestError) {
      while let part = parts.next() {
        guard part.number == Fields.Append.events.number else { continue }
        var problem = caudit_problem()
        let code = caudit_read_event(
          part.bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), part.bytes.count,
          append.frameStart.assumingMemoryBound(to: UInt8.self), arena.arena, event, &problem)
        guard code == CAUDIT_OK else { throw RequestError(problem) }
        if let draft = try draft(of: event, as: part.bytes) {
          let number = firstNumber.map { $0 + UInt64(index) }
          try records.append(
            draft.body, salt: try salt(), kind: draft.kind, origin: origin, number: number, limit: recordLimit)
        } else {
          records.ignore(index)
        }
        index += 1
      }
      return records.finished(part)
    } catch {
      records.rollBack(part)
      var located = error
      located.event = index
      throw located
    }
  }

  /// A record before it is encoded.
  private struct Draft {
    var body: BodyDraft
    var kind = UnsafeRawBufferPointer(start: nil, count: 0)

    mutating func begin(_ detail: WireField, kind: StaticString) {
      body.begin(detail)
      self.kind = UnsafeRawBufferPointer(start: kind.utf8Start, count: kind.utf8CodeUnitCount)
    }
  }

  /// The result of an event.
  private enum Outcome {
    case record
    /// AG2 does not record it.
    case ignored
    /// Unknown to this schema: stored unchanged.
    case unrecognised
  }

  /// - Returns: `nil` for an ignored event.
  private func draft(
    of event: UnsafeMutablePointer<caudit_event>, as bytes: UnsafeRawBufferPointer
  ) throws(RequestError) -> Draft? {
    let listed = event.pointee.metadata_participants.count + event.pointee.agent_ids.count + event.pointee.violators.count
    var draft = Draft(body: try BodyDraft(fields: Self.detailFields + listed, in: arena))
    if event.pointee.has_unknown_fields != 0 { draft.body.event = bytes }
    let outcome: Outcome =
      switch Hubaudit__V1__Event__EventCase(rawValue: event.pointee.member) {
      case HUBAUDIT__V1__EVENT__EVENT_AGENT: try agent(event, &draft)
      case HUBAUDIT__V1__EVENT__EVENT_CHANNEL: try channel(event, &draft)
      case HUBAUDIT__V1__EVENT__EVENT_EXPECTATION_FIRED: try expectation(event, &draft)
      case HUBAUDIT__V1__EVENT__EVENT_TASK: try task(event, &draft)
      case HUBAUDIT__V1__EVENT__EVENT_TURN_FAILED: try turnFailed(event, &draft)
      case HUBAUDIT__V1__EVENT__EVENT_CUSTOM: try custom(event.pointee.fields.0, &draft)
      case HUBAUDIT__V1__EVENT__EVENT_UNREADABLE_LINE: try unreadableLine(event, &draft)
      case HUBAUDIT__V1__EVENT__EVENT_ENVELOPE_POSTED, HUBAUDIT__V1__EVENT__EVENT_ENVELOPE_REJECTED,
        HUBAUDIT__V1__EVENT__EVENT_DISPATCH_FAILED, HUBAUDIT__V1__EVENT__EVENT_INBOX_PRESSURE:
        .ignored
      default: event.pointee.unknown_member == 0 ? .ignored : .unrecognised
      }
    switch outcome {
    case .record: break
    case .ignored: return nil
    case .unrecognised: try unrecognised(event, as: bytes, &draft)
    }
    return draft
  }

  // MARK: - The rules, event by event. An event's fields come in the order of their numbers in event.proto.

  private typealias CEventFields = UnsafeMutablePointer<caudit_event>

  private func agent(_ event: CEventFields, _ draft: inout Draft) throws(RequestError) -> Outcome {
    let (_, agentID, kind, at, name, version, capability, outcome, removed, removedIsNull, _, _) = event.pointee.fields
    if equals(kind, "registered") {
      draft.begin(Fields.RecordBody.agentRegistered, kind: "agent_registered")
      draft.body.add(Fields.AgentRegistered.agentID, agentID)
      draft.body.add(Fields.AgentRegistered.name, name)
    } else if equals(kind, "unregistered") {
      draft.begin(Fields.RecordBody.agentUnregistered, kind: "agent_unregistered")
      draft.body.add(Fields.AgentUnregistered.agentID, agentID)
      draft.body.add(Fields.AgentUnregistered.name, name)
    } else if equals(kind, "resume_set") || equals(kind, "observation_recorded") {
      let isObserved = equals(kind, "observation_recorded")
      draft.begin(Fields.RecordBody.resumeSet, kind: "resume_set")
      draft.body.add(Fields.ResumeSet.agentID, agentID)
      let source = isObserved ? HUBAUDIT__V1__RESUME_SET__SOURCE__SOURCE_OBSERVED : HUBAUDIT__V1__RESUME_SET__SOURCE__SOURCE_TENANT
      draft.body.add(Fields.ResumeSet.source, value: UInt64(source.rawValue))
      draft.body.add(Fields.ResumeSet.version, number: version)
      if isObserved {
        draft.body.add(Fields.ResumeSet.capability, capability)
        draft.body.add(Fields.ResumeSet.outcome, outcome)
      }
    } else if equals(kind, "skill_set") {
      draft.begin(Fields.RecordBody.skillSet, kind: "skill_set")
      draft.body.add(Fields.SkillSet.agentID, agentID)
      if !isTrue(removedIsNull) { draft.body.add(Fields.SkillSet.removed, value: isTrue(removed) ? 1 : 0) }
    } else if equals(kind, "rule_set") {
      draft.begin(Fields.RecordBody.ruleSet, kind: "rule_set")
      draft.body.add(Fields.RuleSet.agentID, agentID)
      draft.body.add(Fields.RuleSet.version, number: version)
    } else {
      return .unrecognised
    }
    draft.body.at = try self.at(at)
    return .record
  }

  private func channel(_ event: CEventFields, _ draft: inout Draft) throws(RequestError) -> Outcome {
    let (_, channelID, kind, at, metadata, participants, reason, _, _, _, _, _) = event.pointee.fields
    if equals(kind, "created") {
      let (_, manifestType, manifestVersion, creatorID) = event.pointee.metadata
      draft.begin(Fields.RecordBody.channelCreated, kind: "channel_created")
      draft.body.add(Fields.ChannelCreated.channelID, channelID)
      draft.body.add(Fields.ChannelCreated.creatorID, creatorID)
      // The payload's own list overrides the metadata's, even if empty.
      draft.body.add(
        Fields.ChannelCreated.participants, participants.isPresent ? event.pointee.agent_ids : event.pointee.metadata_participants)
      draft.body.add(Fields.ChannelCreated.manifestType, manifestType)
      draft.body.add(Fields.ChannelCreated.manifestVersion, number: manifestVersion)
      if metadata.isPresent { draft.body.add(Fields.ChannelCreated.withMetadata, value: 1) }
      if metadata.isPresent || participants.isPresent { draft.body.add(Fields.ChannelCreated.withParticipants, value: 1) }
    } else if equals(kind, "closed") {
      draft.begin(Fields.RecordBody.channelClosed, kind: "channel_closed")
      draft.body.add(Fields.ChannelClosed.channelID, channelID)
      draft.body.add(Fields.ChannelClosed.reason, reason)
    } else if equals(kind, "expired") {
      draft.begin(Fields.RecordBody.channelExpired, kind: "channel_expired")
      draft.body.add(Fields.ChannelExpired.channelID, channelID)
      draft.body.add(Fields.ChannelExpired.reason, reason)
    } else if equals(kind, "opened") || equals(kind, "participant_removed") || equals(kind, "participant_hidden") {
      return .ignored
    } else {
      return .unrecognised
    }
    draft.body.at = try self.at(at)
    return .record
  }

  private func expectation(_ event: CEventFields, _ draft: inout Draft) throws(RequestError) -> Outcome {
    let (_, channelID, at, expectation, onViolation, params, _, detail, _, _, _, _) = event.pointee.fields
    draft.begin(Fields.RecordBody.expectationViolated, kind: "expectation_violated")
    draft.body.at = try self.at(at)
    draft.body.add(Fields.ExpectationViolated.channelID, channelID)
    draft.body.add(Fields.ExpectationViolated.violators, event.pointee.violators)
    draft.body.add(Fields.ExpectationViolated.expectation, expectation)
    draft.body.add(Fields.ExpectationViolated.onViolation, onViolation)
    draft.body.add(Fields.ExpectationViolated.params, try object(params, named: "params"))
    draft.body.add(Fields.ExpectationViolated.detail, try object(detail, named: "detail"))
    return .record
  }

  private func task(_ event: CEventFields, _ draft: inout Draft) throws(RequestError) -> Outcome {
    let (_, taskID, kind, at, ownerID, channelID, outcome, outcomeIsNull, capability, reason, _, _) = event.pointee.fields
    guard equals(kind, "completed") || equals(kind, "failed") || equals(kind, "expired") || equals(kind, "cancelled") else {
      return equals(kind, "started") || equals(kind, "progress") || equals(kind, "mirror_failed") ? .ignored : .unrecognised
    }
    draft.begin(Fields.RecordBody.taskTerminated, kind: "task_terminated")
    draft.body.at = try self.at(at)
    draft.body.add(Fields.TaskTerminated.channelID, channelID)
    draft.body.add(Fields.TaskTerminated.taskID, taskID)
    draft.body.add(Fields.TaskTerminated.ownerID, ownerID)
    if !isTrue(outcomeIsNull) { draft.body.add(Fields.TaskTerminated.outcome, outcome.isPresent ? outcome : kind) }
    draft.body.add(Fields.TaskTerminated.capability, capability)
    draft.body.add(Fields.TaskTerminated.reason, reason)
    return .record
  }

  private func turnFailed(_ event: CEventFields, _ draft: inout Draft) throws(RequestError) -> Outcome {
    let (_, channelID, agentID, envelopeID, exceptionType, exceptionMessage, at, _, _, _, _, _) = event.pointee.fields
    draft.begin(Fields.RecordBody.turnFailed, kind: "turn_failed")
    draft.body.at = try self.at(at)
    draft.body.add(Fields.TurnFailed.agentID, agentID)
    draft.body.add(Fields.TurnFailed.channelID, channelID)
    draft.body.add(Fields.TurnFailed.envelopeID, envelopeID)
    draft.body.add(Fields.TurnFailed.excType, exceptionType)
    draft.body.add(Fields.TurnFailed.excMessage, exceptionMessage)
    return .record
  }

  private func custom(_ json: caudit_field, _ draft: inout Draft) throws(RequestError) -> Outcome {
    let bytes = json.buffer
    let members = try JSONText.object(bytes, named: "custom")
    let event = draft.body.event
    draft.body = try BodyDraft(fields: Self.detailFields + members.participants.count + members.violators.count, in: arena)
    draft.body.event = event
    draft.body.begin(Fields.RecordBody.custom)
    draft.body.at = try text(members.at, in: bytes)
    draft.body.add(Fields.Custom.agentID, try text(members.agentID, in: bytes))
    draft.body.add(Fields.Custom.channelID, try text(members.channelID, in: bytes))
    draft.body.add(Fields.Custom.taskID, try text(members.taskID, in: bytes))
    draft.body.add(Fields.Custom.ownerID, try text(members.ownerID, in: bytes))
    draft.body.add(Fields.Custom.creatorID, try text(members.creatorID, in: bytes))
    for participant in members.participants { draft.body.add(Fields.Custom.participants, try text(participant, in: bytes)) }
    for violator in members.violators { draft.body.add(Fields.Custom.violators, try text(violator, in: bytes)) }
    draft.body.add(Fields.Custom.json, json)
    draft.kind = try text(members.kind, in: bytes).buffer
    guard draft.kind.count <= RecordOrigin.maximumNameBytes else {
      throw RequestError(.limitExceeded, "the kind has \(draft.kind.count) bytes; the limit is \(RecordOrigin.maximumNameBytes) bytes")
    }
    return .record
  }

  private func unreadableLine(_ event: CEventFields, _ draft: inout Draft) throws(RequestError) -> Outcome {
    let (_, line, unterminated, _, _, _, _, _, _, _, _, _) = event.pointee.fields
    draft.begin(Fields.RecordBody.unreadableLine, kind: "unreadable_line")
    draft.body.at = try at(caudit_field())
    draft.body.add(Fields.UnreadableLine.line, line.isPresent ? line : caudit_field(try arena.copy([])))
    if unterminated.isPresent { draft.body.add(Fields.UnreadableLine.unterminated, value: isTrue(unterminated) ? 1 : 0) }
    return .record
  }

  /// Stores an event unchanged, with the subjects that can be read from it.
  private func unrecognised(_ event: CEventFields, as bytes: UnsafeRawBufferPointer, _ draft: inout Draft) throws(RequestError) {
    let fields = event.pointee.fields
    draft.begin(Fields.RecordBody.unrecognised, kind: "unrecognised")
    draft.body.event = bytes
    var (kind, at) = (caudit_field(), caudit_field())
    switch Hubaudit__V1__Event__EventCase(rawValue: event.pointee.member) {
    case HUBAUDIT__V1__EVENT__EVENT_AGENT:
      draft.body.add(Fields.Unrecognised.agentID, fields.1)
      (kind, at) = (fields.2, fields.3)
    case HUBAUDIT__V1__EVENT__EVENT_CHANNEL:
      draft.body.add(Fields.Unrecognised.channelID, fields.1)
      draft.body.add(Fields.Unrecognised.creatorID, event.pointee.metadata.3)
      draft.body.add(Fields.Unrecognised.participants, fields.5.isPresent ? event.pointee.agent_ids : event.pointee.metadata_participants)
      (kind, at) = (fields.2, fields.3)
    case HUBAUDIT__V1__EVENT__EVENT_TASK:
      draft.body.add(Fields.Unrecognised.channelID, fields.5)
      draft.body.add(Fields.Unrecognised.taskID, fields.1)
      draft.body.add(Fields.Unrecognised.ownerID, fields.4)
      (kind, at) = (fields.2, fields.3)
    default: break
    }
    let member = event.pointee.member
    draft.body.add(Fields.Unrecognised.eventField, value: UInt64(member == 0 ? event.pointee.unknown_member : member))
    draft.body.add(Fields.Unrecognised.eventKind, kind)
    draft.body.at = try self.at(at)
  }

  // MARK: - Parts

  private func equals(_ text: caudit_field, _ name: StaticString) -> Bool {
    guard let bytes = text.bytes, text.value == UInt64(name.utf8CodeUnitCount) else { return false }
    for index in 0..<name.utf8CodeUnitCount where bytes[index] != name.utf8Start[index] { return false }
    return true
  }

  private func isTrue(_ field: caudit_field) -> Bool { field.isPresent && field.value != 0 }

  /// The event's own time, or the clock's if it is absent or empty.
  private func at(_ text: caudit_field) throws(RequestError) -> caudit_field {
    if !text.isEmpty { return text }
    return caudit_field(try arena.copy(UTCTime.iso8601Microseconds(now()).utf8))
  }

  private func object(_ json: caudit_field, named name: StaticString) throws(RequestError) -> caudit_field {
    guard json.isPresent else { return caudit_field(try arena.copy("{}".utf8)) }
    _ = try JSONText.object(json.buffer, named: name)
    return json
  }

  /// A string of a JSON object, in place, or decoded if it has escapes. Absent if it has a character that no text field can hold.
  private func text(_ text: JSONText.Text?, in bytes: UnsafeRawBufferPointer) throws(RequestError) -> caudit_field {
    guard let text else { return caudit_field() }
    guard text.escaped else { return caudit_field(UnsafeRawBufferPointer(rebasing: bytes[text.range])) }
    guard let decoded = JSONText.decoded(bytes, text) else { return caudit_field() }
    return caudit_field(try arena.copy(decoded))
  }

  /// 16 random bytes, valid until the next call. The system's generator is called once per 4 KiB.
  private func salt() throws(RequestError) -> UnsafeRawPointer {
    if saltsUsed == Self.saltPoolBytes {
      guard caudit_random(salts, Self.saltPoolBytes) == 0 else {
        throw RequestError(.internal, "the system's random generator failed, so record bodies cannot be salted")
      }
      saltsUsed = 0
    }
    defer { saltsUsed += BodyDraft.saltBytes }
    return UnsafeRawPointer(salts + saltsUsed)
  }
}
