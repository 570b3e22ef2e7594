import AuditSchema
import Testing

/// What the decoder refuses, and what it says.
@Suite struct BadInputTests {
  private func error(_ body: () throws -> Void) -> RequestError? {
    do {
      try body()
      return nil
    } catch let error as RequestError {
      return error
    } catch {
      return nil
    }
  }

  private func append(_ event: [UInt8]) throws { _ = try Translation().records(ofEvents: [event]) }

  private func field(_ number: UInt8, _ content: [UInt8]) -> [UInt8] { [number << 3 | 2] + Framing.delimited(content) }

  @Test("text that is not UTF-8 is refused with field, byte and event")
  func badText() {
    let event = field(1, field(1, [0x61, 0xFF]))
    let found = error { try append(event) }
    #expect(found?.code == .invalidText)
    #expect(found?.event == 0)
    #expect(found?.message.contains("hubaudit.v1.AgentEvent.agent_id") == true)
  }

  @Test(
    "overlong forms, surrogates and code points over U+10FFFF are not UTF-8",
    arguments: [
      [0xC0, 0x80], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF0, 0x80, 0x80, 0x80], [0xF4, 0x90, 0x80, 0x80],
      [0xF8, 0x88, 0x80, 0x80, 0x80],
      [0x80], [0xC3], [0xE2, 0x82], [0xF0, 0x9F, 0x98],
    ] as [[UInt8]])
  func notUTF8(bytes: [UInt8]) {
    #expect(error { try append(field(1, field(1, bytes))) }?.code == .invalidText)
    #expect(error { try append(field(1, field(1, Array("12345678".utf8) + bytes))) }?.code == .invalidText)
  }

  @Test("text of every length of UTF-8 is taken")
  func goodText() throws {
    let text = "aé€😀" + String(repeating: "0123456789é", count: 9)
    let event = try EventEncoder().encode(.agent(AgentEvent(agentID: text, kind: "registered")))
    let json = try #require(try Translation().records(ofEvents: [event])[0].json()).text
    #expect(json.contains("a\\u00e9\\u20ac\\ud83d\\ude00"))
  }

  @Test("a NUL byte in text is refused, not cut", arguments: [0, 3, 7, 8, 11])
  func nul(position: Int) {
    var bytes = Array("agent-number".utf8)
    bytes[position] = 0
    let found = error { try append(field(1, field(1, bytes))) }
    #expect(found?.code == .invalidText)
    #expect(found?.message.contains("NUL") == true)
  }

  @Test(
    "a wrong wire type, a group, field number 0 and a cut message are malformed",
    arguments: [
      [0x0A, 0x02, 0x08, 0x01],  // agent_id as a number
      [0x0A, 0x02, 0x0B, 0x0C],  // a group
      [0x02, 0x01, 0x00],  // field 0
      [0x0A, 0x05, 0x0A, 0x01],  // length past the end
    ] as [[UInt8]])
  func malformed(event: [UInt8]) {
    #expect(error { try append(event) }?.code == .malformedFrame)
  }

  @Test("every way to cut a good frame short is an error or incomplete, and never a crash")
  func cuts() throws {
    let event = try EventEncoder().encode(.task(TaskEvent(taskID: "t", kind: "completed", ownerID: "o", reason: "r")))
    let frame = ClientFrameEncoder.append(id: 7, producerSequence: 3, events: [event])
    for length in 1..<frame.count {
      let content = Array(frame[1..<length])
      #expect(error { _ = try Translation().records(ofFrame: Framing.delimited(content)) } != nil, "cut after \(length) bytes")
    }
  }

  @Test("a frame over the limit is refused from its length alone")
  func frameTooLarge() {
    for (bytes, code) in [
      ([0x81, 0x80, 0x40], RequestError.Code.frameTooLarge),  // 1 MiB and one byte
      ([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], .malformedFrame),
    ] as [([UInt8], RequestError.Code)] {
      let found = error { _ = try bytes.withUnsafeBytes { try Framing.next(in: $0, at: 0, limit: 1 << 20) } }
      #expect(found?.code == code)
    }
  }

  @Test("a bomb of empty parts ends at the arena's cap")
  func memoryBomb() throws {
    // 500,000 events of two bytes each take more than the arena when decoded.
    var content: [UInt8] = []
    for _ in 0..<500_000 { content += [0x12, 0x00] }
    let frame = Framing.delimited([0x08, 0x01] + field(3, content))
    let found = error { _ = try Translation().records(ofFrame: frame) }
    #expect(found?.code == .limitExceeded)
  }

  @Test("an unknown field of a request is refused; one inside an event is kept with it")
  func unknownFields() throws {
    let event = try EventEncoder().encode(.channel(ChannelEvent(channelID: "c", kind: "closed", at: "x", reason: "")))
    let frame = ClientFrameEncoder.append(id: 1, producerSequence: nil, events: [event])
    let withUnknown = Framing.delimited(Array(frame.dropFirst()) + [0xC8, 0x06, 0x01])  // field 105 of ClientFrame
    #expect(error { _ = try Translation().records(ofFrame: withUnknown) }?.code == .unsupportedRequest)

    let newer: [UInt8] = [0x12] + Framing.delimited(Array(event.dropFirst(2)) + [0xC8, 0x06, 0x01])  // field 105 of ChannelEvent
    let record = try #require(try Translation().records(ofEvents: [newer]).first)
    let body = Array(try #require(record.encodedBody))
    #expect(body.indices.contains { body[$0...].starts(with: newer) }, "the event is in the record, byte for byte")
  }

  @Test("a frame that holds two requests, or one twice, is refused by name, not answered for one of them")
  func twoRequests() throws {
    let event = try EventEncoder().encode(.agent(AgentEvent(agentID: "a", kind: "registered")))
    let append = field(3, field(2, event))
    #expect(try Translation().records(ofFrame: Framing.delimited([0x08, 1] + append)).count == 1)
    let frames: [([UInt8], String)] = [
      ([0x08, 1] + append + append, "ClientFrame.append"), ([0x08, 1] + field(12, []) + append, "ping is set already"),
      (append + [0x08, 1] + append, "ClientFrame.append"), ([0x08, 1] + append + [0x08, 2], "ClientFrame.id"),
    ]
    for (frame, name) in frames {
      let found = error { _ = try Translation().records(ofFrame: Framing.delimited(frame)) }
      #expect(found?.code == .invalidRequest && found?.message.contains(name) == true, "\(frame): \(String(describing: found))")
    }
  }

  @Test("a request that can be understood in two ways is refused by name")
  func ambiguousRequests() throws {
    let start: (UInt8, [UInt8]) -> [UInt8] = { field, content in
      [0x08, 1] + [field << 3 | 2] + Framing.delimited([0x0A] + Framing.delimited(content))
    }
    let requests: [([UInt8], String)] = [
      (start(4, [0x08, 1, 0x10, 1]), "earliest is set already"),  // earliest and latest
      (start(5, [0x10, 1, 0x19] + [UInt8](repeating: 0, count: 8)), "latest is set already"),
      (start(4, [0x08, 0]), "earliest: false"), (start(5, [0x10, 0]), "latest: false"),
      ([0x08, 1] + field(4, field(1, [0x08, 1]) + [0x18, 5, 0x18, 6]), "Read.limit"),
      ([0x08, 1] + field(4, field(1, [0x08, 1]) + field(1, [0x10, 1])), "Read.start"),
      ([0x08, 1] + field(2, [0x08, 0x81, 0x80, 0x80, 0x80, 0x10]), "Hello.version"),  // 2^32 + 1, of which a decoder keeps 1
      ([0x08, 1] + field(2, [0x08, 1] + field(2, [0x61]) + field(2, [0x62])), "Hello.hub"),
      (
        [0x08, 1] + field(10, [0x09] + [UInt8](repeating: 0, count: 8) + [0x11] + [UInt8](repeating: 0, count: 8)),
        "inclusion is set already"
      ),
      ([0x08, 1] + field(6, [0x08, 3, 0x08, 4]), "Unsubscribe.subscription"),
    ]
    for (frame, name) in requests {
      var id: UInt64?
      let found = error { _ = try frame.withUnsafeBytes { try ClientFrame($0, in: DecodeArena(limitBytes: 1 << 20), identified: &id) } }
      #expect(found?.code == .invalidRequest && found?.message.contains(name) == true, "\(name): \(String(describing: found))")
      #expect(id == 1, "\(name)")
    }
  }

  @Test("an event that says two things is refused by name; nobody chooses between them")
  func ambiguousEvents() throws {
    let channel = field(2, field(1, Array("c-1".utf8)) + field(2, Array("closed".utf8)))
    let agent = field(1, field(1, Array("a".utf8)) + field(2, Array("registered".utf8)))
    let events: [([UInt8], String)] = [
      (channel + agent, "channel is set already"), (agent + channel, "agent is set already"), (channel + channel, "Event.channel"),
      (channel + field(10, Array("{}".utf8)), "channel is set already"),
      (field(2, field(1, Array("c-1".utf8)) + field(1, Array("c-2".utf8))), "ChannelEvent.channel_id"),
      (field(2, field(2, Array("created".utf8)) + field(4, []) + field(4, [])), "ChannelEvent.metadata"),
    ]
    for (event, name) in events {
      let found = error { try append(event) }
      #expect(found?.code == .invalidRequest && found?.event == 0, "\(name)")
      #expect(found?.message.contains(name) == true, "\(name): \(String(describing: found))")
    }
  }

  @Test("an event of a newer schema is recorded as it came, with what can be read of it, and shown")
  func unrecognised() throws {
    let known = try EventEncoder().encode(.custom(json: Array("{}".utf8)))
    let newArm: [UInt8] = [0xFA, 0x01, 0x03] + [0x0A, 0x01, 0x78]  // field 31 of Event
    let newScalar: [UInt8] = [0xF8, 0x01, 0x2A]
    let promoted = try EventEncoder().encode(.agent(AgentEvent(agentID: "a-1", kind: "promoted", at: "then", name: "n")))
    let moved = try EventEncoder().encode(
      .channel(
        ChannelEvent(
          channelID: "c", kind: "moved", metadata: .init(manifestType: "m", manifestVersion: 1, creatorID: "o", participants: ["p"]))))
    let paused = try EventEncoder().encode(.task(TaskEvent(taskID: "t", kind: "paused", at: "x", ownerID: "o", channelID: "c")))
    let events = [newArm, known, newScalar, promoted, moved, paused]
    let translation = try Translation()
    let records = try translation.records(ofEvents: events)
    #expect(records.count == 6 && translation.ignored.isEmpty && records.allSatisfy(\.isIntact))
    #expect(records.map(\.kind) == ["unrecognised", nil] + [String?](repeating: "unrecognised", count: 4))
    for (record, event) in zip(records, events) where record.kind != nil {
      let body = Array(try #require(record.encodedBody))
      #expect(body.indices.contains { body[$0...].starts(with: [0x1A] + Framing.delimited(event)) }, "the event is there, byte for byte")
    }
    let json = try records.map { try #require(try $0.json()).text }
    #expect(
      json[0] == #"{"at": "2026-01-01T00:00:00Z", "event": "fa01030a0178", "event_field": 31, "event_kind": null, "kind": "unrecognised"}"#)
    #expect(
      json[3].hasPrefix(#"{"agent_id": "a-1", "at": "then", "event": "0a"#)
        && json[3].contains(#""event_field": 1, "event_kind": "promoted""#))
    #expect(json[4].contains(#""channel_id": "c", "creator_id": "o""#) && json[4].contains(#""participants": ["p"]"#))
    #expect(records[0].unknownFields() == [UnknownField(message: "Event", number: 31, bytes: newArm)])
    #expect(records[3].unknownFields().isEmpty, "all of it is known but the kind")
    func matching(_ filter: RecordFilter) -> [UInt64] {
      records.filter { record in record.encoded.withUnsafeBytes { RecordMatcher(filter).matches($0) } }.map(\.sequence)
    }
    #expect(matching(RecordFilter(kinds: ["unrecognised"])) == [0, 2, 3, 4, 5])
    #expect(matching(RecordFilter(agents: ["a-1"])) == [3] && matching(RecordFilter(agents: ["o"])) == [4, 5])
    #expect(matching(RecordFilter(agents: ["p"])) == [4] && matching(RecordFilter(channels: ["c"])) == [4, 5])
    #expect(matching(RecordFilter(tasks: ["t"])) == [5])
  }

  @Test("what AG2 observes and does not record is ignored; an event that holds nothing too")
  func ignored() throws {
    let encoder = EventEncoder()
    var events: [[UInt8]] = [[]]
    for kind in ["opened", "participant_removed", "participant_hidden"] {
      events.append(try encoder.encode(.channel(ChannelEvent(channelID: "c", kind: kind))))
    }
    for kind in ["started", "progress", "mirror_failed"] { events.append(try encoder.encode(.task(TaskEvent(taskID: "t", kind: kind)))) }
    events.append(try encoder.encode(.inboxPressure(InboxPressure(agentID: "a", pending: 1, capacity: 2))))
    let translation = try Translation()
    #expect(try translation.records(ofEvents: events).isEmpty)
    #expect(translation.ignored == events.indices.map(UInt32.init))
  }

  @Test("a group that the schema does not know is kept within an event, and refused by name elsewhere")
  func groups() throws {
    // Field 20 of ChannelEvent, with a number, a text and another group in it.
    let group: [UInt8] = [0xA3, 0x01, 0x08, 0x07, 0x12, 0x01, 0x78, 0x1B, 0x0D, 1, 2, 3, 4, 0x1C, 0xA4, 0x01]
    let closed = try EventEncoder().encode(.channel(ChannelEvent(channelID: "c", kind: "closed", at: "x", reason: "r")))
    let event = field(2, Array(closed.dropFirst(2)) + group)
    let record = try #require(try Translation().records(ofEvents: [event]).first)
    #expect(record.kind == "channel_closed")
    #expect(record.unknownFields() == [UnknownField(message: "ChannelEvent", number: 20, bytes: group)])
    // As an arm of its own.
    let arm = try #require(try Translation().records(ofEvents: [group]).first)
    #expect(arm.kind == "unrecognised" && arm.unknownFields().map(\.number) == [20])

    let frame = Array(ClientFrameEncoder.append(id: 7, producerSequence: nil, events: [closed]).dropFirst())
    var id: UInt64?
    let found = error {
      _ = try (group + frame).withUnsafeBytes { try ClientFrame($0, in: DecodeArena(limitBytes: 1 << 20), identified: &id) }
    }
    #expect(found?.code == .unsupportedRequest && found?.message.contains("20") == true && id == 7)

    for bad: [UInt8] in [[0xA3, 0x01, 0x08, 0x07], [0xA3, 0x01, 0x9C, 0x01], [0xA4, 0x01], [UInt8](repeating: 0x1B, count: 300)] {
      #expect(error { try append(field(2, bad)) }?.code == .malformedFrame, "\(bad)")
    }
  }

  @Test("a record over the limit is refused as a whole with its append")
  func recordTooLarge() throws {
    let translation = try Translation()
    translation.recordLimit = 400
    let small = try EventEncoder().encode(.custom(json: Array("{}".utf8)))
    let large = try EventEncoder().encode(.custom(json: Array("{\"a\": \"\(String(repeating: "x", count: 400))\"}".utf8)))
    let found = error { _ = try translation.records(ofEvents: [small, large]) }
    #expect(found?.code == .recordTooLarge)
    #expect(found?.event == 1)
    #expect(translation.records.spans.isEmpty && translation.records.count == 0)
    // The buffer is as good as before.
    #expect(try translation.records(ofEvents: [small]).count == 1)
  }
}
