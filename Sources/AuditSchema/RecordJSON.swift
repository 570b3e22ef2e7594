import CAuditSchema

/// Writes records as AG2's `AuditLog` does: `json.dumps(record, sort_keys=True)`, ASCII only.
enum RecordJSON {
  static func text(body: UnsafeRawBufferPointer, kind: String?, in arena: DecodeArena) throws(SchemaError) -> [UInt8] {
    let body = try decode(CRecordBody.self, descriptor, body, lenient: true, in: arena)
    var object = ObjectWriter()
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
      object.json("detail", detail.detail)
      object.text("expectation", detail.expectation)
      object.literal("kind", "expectation_violated")
      object.text("on_violation", detail.on_violation)
      object.json("params", detail.params)
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
    case HUBAUDIT__V1__RECORD_BODY__DETAIL_CUSTOM:
      return AuditSchema.bytes(body.pointee.custom.pointee.json)
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
      object.hex("event", AuditSchema.bytes(body.pointee.event))
      object.token("event_field", detail.has_event_field != 0 ? "\(detail.event_field)" : "null")
      object.text("event_kind", detail.event_kind)
      object.literal("kind", "unrecognised")
      if detail.owner_id != nil { object.text("owner_id", detail.owner_id) }
      if detail.n_participants > 0 { object.texts("participants", detail.participants, detail.n_participants) }
      if detail.task_id != nil { object.text("task_id", detail.task_id) }
      if detail.n_violators > 0 { object.texts("violators", detail.violators, detail.n_violators) }
    default:
      // A detail of a newer schema. `Record.unknownFields` has its bytes.
      object.text("at", at)
      object.optional("kind", kind)
    }
    return object.finished()
  }

  /// The text of an unreadable line, as it was in the file.
  static func unreadableLine(body: UnsafeRawBufferPointer, in arena: DecodeArena) throws(SchemaError) -> (
    line: [UInt8], unterminated: Bool
  )? {
    let body = try decode(CRecordBody.self, descriptor, body, lenient: true, in: arena)
    guard body.pointee.detail_case == HUBAUDIT__V1__RECORD_BODY__DETAIL_UNREADABLE_LINE else { return nil }
    let detail = body.pointee.unreadable_line.pointee
    return (AuditSchema.bytes(detail.line), detail.unterminated != 0)
  }
}

nonisolated(unsafe) private let descriptor = address(of: hubaudit__v1__record_body__descriptor)

/// A JSON object in Python's default form: ", " and ": " between, everything but ASCII escaped.
package struct ObjectWriter {
  private var out: [UInt8] = [UInt8(ascii: "{")]

  package init() { out.reserveCapacity(256) }

  package var isEmpty: Bool { out.count == 1 }

  package func finished() -> [UInt8] { out + [UInt8(ascii: "}")] }

  private mutating func key(_ name: StaticString) {
    if out.count > 1 { out += [UInt8(ascii: ","), UInt8(ascii: " ")] }
    out.append(UInt8(ascii: "\""))
    out += UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    out += [UInt8(ascii: "\""), UInt8(ascii: ":"), UInt8(ascii: " ")]
  }

  package mutating func token(_ name: StaticString, _ token: String) {
    key(name)
    out += Array(token.utf8)
  }

  package mutating func literal(_ name: StaticString, _ value: String) {
    key(name)
    append(Array(value.utf8))
  }

  package mutating func string(_ name: StaticString, _ utf8: [UInt8]) {
    key(name)
    append(utf8)
  }

  /// Bytes as lower-case hex digits.
  package mutating func hex(_ name: StaticString, _ bytes: some Collection<UInt8>) {
    key(name)
    out.append(UInt8(ascii: "\""))
    for byte in bytes {
      out.append(Self.hexDigits[Int(byte >> 4)])
      out.append(Self.hexDigits[Int(byte & 15)])
    }
    out.append(UInt8(ascii: "\""))
  }

  package mutating func optional(_ name: StaticString, _ value: String?) {
    key(name)
    if let value { append(Array(value.utf8)) } else { out += Array("null".utf8) }
  }

  package mutating func json(_ name: StaticString, _ text: [UInt8]) {
    key(name)
    out += text
  }

  mutating func text(_ name: StaticString, _ value: CString?) {
    key(name)
    append(value)
  }

  mutating func texts(_ name: StaticString, _ values: UnsafeMutablePointer<CString?>?, _ count: Int) {
    key(name)
    out.append(UInt8(ascii: "["))
    for index in 0..<count {
      if index > 0 { out += [UInt8(ascii: ","), UInt8(ascii: " ")] }
      append(values![index])
    }
    out.append(UInt8(ascii: "]"))
  }

  mutating func number(_ name: StaticString, _ value: Int64?) {
    token(name, value.map { String($0) } ?? "null")
  }

  mutating func json(_ name: StaticString, _ data: ProtobufCBinaryData) {
    json(name, data.len > 0 ? bytes(data) : Array("{}".utf8))
  }

  private mutating func append(_ value: CString?) {
    guard let value else {
      out += Array("null".utf8)
      return
    }
    append(Array(String(cString: value).utf8))
  }

  private mutating func append(_ utf8: [UInt8]) {
    out.append(UInt8(ascii: "\""))
    if utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
      out += utf8
    } else {
      for unit in String(decoding: utf8, as: UTF8.self).utf16 { append(unit: unit) }
    }
    out.append(UInt8(ascii: "\""))
  }

  private mutating func append(unit: UInt16) {
    switch unit {
    case 0x22: out += [0x5C, 0x22]
    case 0x5C: out += [0x5C, 0x5C]
    case 0x0A: out += [0x5C, UInt8(ascii: "n")]
    case 0x0D: out += [0x5C, UInt8(ascii: "r")]
    case 0x09: out += [0x5C, UInt8(ascii: "t")]
    case 0x08: out += [0x5C, UInt8(ascii: "b")]
    case 0x0C: out += [0x5C, UInt8(ascii: "f")]
    case 0x20..<0x7F: out.append(UInt8(unit))
    default:
      out += [0x5C, UInt8(ascii: "u")]
      for shift: UInt16 in [12, 8, 4, 0] { out.append(Self.hexDigits[Int(unit >> shift & 0xF)]) }
    }
  }

  private static let hexDigits = Array("0123456789abcdef".utf8)
}
