import AuditSchema
import Testing

/// What the decoder refuses, and what it says.
@Suite struct BadInputTests {
  private func error(_ body: () throws -> Void) -> SchemaError? {
    do {
      try body()
      return nil
    } catch let error as SchemaError {
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
      ([0x81, 0x80, 0x40], SchemaError.Code.frameTooLarge),  // 1 MiB and one byte
      ([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], .malformedFrame),
    ] as [([UInt8], SchemaError.Code)] {
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

  @Test("a frame that holds two requests is refused, not answered for one of them")
  func twoRequests() throws {
    let event = try EventEncoder().encode(.agent(AgentEvent(agentID: "a", kind: "registered")))
    let append = field(3, field(2, event))
    #expect(try Translation().records(ofFrame: Framing.delimited([0x08, 1] + append)).count == 1)
    for frame in [[0x08, 1] + append + append, [0x08, 1] + field(12, []) + append, append + [0x08, 1] + append] {
      let found = error { _ = try Translation().records(ofFrame: Framing.delimited(frame)) }
      #expect(found?.code == .invalidRequest && found?.message.contains("2 requests") == true, "\(frame)")
    }
  }

  @Test("of a field that comes twice the last value counts, and parts of a message are merged, as protobuf has it")
  func repeatedFields() throws {
    let parts = field(
      2, field(1, Array("c-1".utf8)) + field(1, Array("c-2".utf8)) + field(4, field(1, Array("m-1".utf8)) + field(4, Array("p".utf8))))
    let more = field(2, field(2, Array("created".utf8)) + field(4, field(1, Array("m-2".utf8)) + field(4, Array("q".utf8))))
    let record = try #require(try Translation().records(ofEvents: [parts + more]).first)
    let json = try #require(try record.json()).text
    #expect(json.contains(#""channel_id": "c-2""#) && json.contains(#""manifest_type": "m-2""#), "\(json)")
    #expect(json.contains(#""participants": ["p", "q"]"#), "\(json)")
    // Another kind of event in the place of the first finds nothing of it.
    let other = field(1, field(1, Array("a".utf8)) + field(2, Array("registered".utf8)))
    let registered = try #require(try Translation().records(ofEvents: [parts + other]).first?.json()).text
    #expect(registered.contains(#""agent_id": "a""#) && registered.contains(#""name": null"#), "\(registered)")
  }

  @Test("an event of an unknown kind makes no record and says so")
  func unknownEvent() throws {
    let translation = try Translation()
    let unknownOneof: [UInt8] = [0xFA, 0x01, 0x00]  // field 31 of Event
    let known = try EventEncoder().encode(.custom(json: Array("{}".utf8)))
    let records = try translation.records(ofEvents: [unknownOneof, known, unknownOneof])
    #expect(records.count == 1)
    #expect(translation.ignored == [0, 2])
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
