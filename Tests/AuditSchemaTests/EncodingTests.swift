import AuditSchema
import Foundation
import Testing

@Suite struct EncodingTests {
  @Test("a record is the protobuf that protoc reads, in the order of the schema")
  func protoc() throws {
    let event = try EventEncoder().encode(.task(TaskEvent(taskID: "t-1", kind: "failed", at: "then", ownerID: "a-1", reason: "")))
    let record = try #require(try Translation(hub: "hub", producer: "p").records(ofEvents: [event], firstNumber: 300).first)
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..").standardizedFileURL.path
    process.arguments = ["protoc", "--proto_path=\(root)/Proto", "--decode=hubaudit.v1.Record", "hubaudit/v1/record.proto"]
    let input = Pipe()
    let output = Pipe()
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    input.fileHandleForWriting.write(Data(record.encoded))
    try input.fileHandleForWriting.close()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    for line in [
      "sequence: 0", "received_at: 1767225600000000000", "hub: \"hub\"", "producer: \"p\"", "producer_sequence: 300",
      "kind: \"task_terminated\"",
      "schema_version: 1", "at: \"then\"", "task_id: \"t-1\"", "owner_id: \"a-1\"", "outcome: \"failed\"", "reason: \"\"",
    ] { #expect(text.contains(line), "\(line) in \(text)") }
    #expect(!text.contains("1: "), "no field is unknown: \(text)")
  }

  @Test("header and body hash fit, and every flipped bit is seen by the checksum")
  func integrity() throws {
    let event = try EventEncoder().encode(.agent(AgentEvent(agentID: "a", kind: "registered", name: "Ada")))
    let record = try #require(try Translation().records(ofEvents: [event]).first)
    #expect(record.isIntact)
    for index in record.encoded.indices {
      for bit in 0..<8 {
        var bytes = record.encoded
        bytes[index] ^= 1 << bit
        #expect((try? Record(bytes))?.isIntact != true, "bit \(bit) of byte \(index)")
      }
    }
  }

  @Test("two records of the same event differ by their salt")
  func salt() throws {
    let event = try EventEncoder().encode(.custom(json: Array("{}".utf8)))
    let records = try Translation().records(ofEvents: Array(repeating: event, count: 600))
    #expect(Set(records.map(\.bodySHA256)).count == 600)
  }

  @Test("the hash in every header is that of its own body, whatever sizes come after each other")
  func bodyHashes() throws {
    let sizes = (0..<1500).map { $0 * 37 % 700 }
    let events = try sizes.map { size in
      try EventEncoder().encode(.channel(ChannelEvent(channelID: "c", kind: "closed", reason: String(repeating: "x", count: size))))
    }
    let translation = try Translation()
    let records = try translation.records(ofEvents: events)
    #expect(records.count == events.count)
    for (record, size) in zip(records, sizes) {
      #expect(record.isIntact && record.bodySHA256 == SHA256.hash(Array(record.encodedBody!)), "reason of \(size) bytes")
    }
  }

  @Test("nothing of a refused append is hashed into what takes its place")
  func refusedBodies() throws {
    func closed(_ size: Int) throws -> [UInt8] {
      try EventEncoder().encode(.channel(ChannelEvent(channelID: "c", kind: "closed", reason: String(repeating: "x", count: size))))
    }
    let translation = try Translation()
    translation.recordLimit = 700
    // The second body finds no other of its size to be hashed with.
    let refused = [try closed(20), try closed(400), try closed(900)]
    #expect(throws: RequestError.self) { try translation.records(ofEvents: refused) }
    #expect(translation.records.spans.isEmpty)
    let records = try translation.records(ofEvents: (0..<9).map { try closed(20 + $0) })
    #expect(records.count == 9 && records.allSatisfy(\.isIntact))
    #expect(records.allSatisfy { $0.bodySHA256 == SHA256.hash(Array($0.encodedBody!)) })
  }

  @Test("varints have the size that is computed for them")
  func varints() {
    for value in [0, 1, 127, 128, 16_383, 16_384, UInt64(UInt32.max), .max] + (0..<64).map({ UInt64(1) << $0 }) {
      withUnsafeTemporaryAllocation(byteCount: 16, alignment: 8) { buffer in
        let end = Framing.writeVarint(value, to: buffer.baseAddress!)
        #expect(end - buffer.baseAddress! == Framing.varintSize(value), "\(value)")
      }
    }
  }

  @Test("the descriptor set names the schema's files")
  func descriptorSet() {
    let text = String(decoding: Schema.descriptorSet, as: UTF8.self)
    for name in ["record", "event", "frames"] { #expect(text.contains("hubaudit/v1/\(name).proto")) }
    #expect(Schema.sha256.count == 32)
  }

  @Test("a filter matches by header and by subjects of every kind")
  func filters() throws {
    let events: [Event] = [
      .agent(AgentEvent(agentID: "a", kind: "registered")), .channel(ChannelEvent(channelID: "c", kind: "closed")),
      .task(TaskEvent(taskID: "t", kind: "completed", ownerID: "o", channelID: "c")),
      .expectationFired(ExpectationFired(channelID: "d", expectation: "e", onViolation: "audit", violators: ["v", "a"])),
      .channel(
        ChannelEvent(
          channelID: "e", kind: "created", metadata: .init(manifestType: "m", manifestVersion: 1, creatorID: "o"), participants: ["a", "z"])
      ),
      .turnFailed(TurnFailed(channelID: "c", agentID: "z", envelopeID: "x", exceptionType: nil, exceptionMessage: nil)),
    ]
    let encoder = EventEncoder()
    let records = try Translation(hub: "h").records(ofEvents: try events.map { try encoder.encode($0) })
    func matching(_ filter: RecordFilter) -> [UInt64] {
      records.filter { record in record.encoded.withUnsafeBytes { RecordMatcher(filter).matches($0) } }.map(\.sequence)
    }
    #expect(matching(RecordFilter()) == [0, 1, 2, 3, 4, 5])
    #expect(matching(RecordFilter(kinds: ["channel_closed", "turn_failed"])) == [1, 5])
    #expect(matching(RecordFilter(hubs: ["other"])) == [])
    #expect(matching(RecordFilter(agents: ["a"])) == [0, 3, 4])
    #expect(matching(RecordFilter(agents: ["o"])) == [2, 4])
    #expect(matching(RecordFilter(agents: ["z"], channels: ["c"])) == [5])
    #expect(matching(RecordFilter(channels: ["c"])) == [1, 2, 5])
    #expect(matching(RecordFilter(tasks: ["t"])) == [2])
    #expect(matching(RecordFilter(since: 1_767_225_600_000_000_000)).count == 6)
    #expect(matching(RecordFilter(until: 1_767_225_600_000_000_000)) == [])
  }

  @Test("an answer that is written in place has the bytes that the encoder gives it")
  func answers() throws {
    let encoder = ServerFrameEncoder()
    for id: UInt64 in [1, 127, 128, 70_000, .max] {
      for (recorded, first) in [(1, UInt64(0)), (127, 5), (128, 1 << 40), (1_000_000, .max)] {
        let expected = encoder.appended(id: id, Appended(recorded: recorded, firstSequence: first))
        let frame = [UInt8](unsafeUninitializedCapacity: AppendedFrame.maximumBytes) { buffer, count in
          count = AppendedFrame(id: id, recorded: recorded, firstSequence: first).write(to: UnsafeMutableRawPointer(buffer.baseAddress!))
        }
        #expect(frame == expected, "id \(id), \(recorded) from \(first)")
        guard first <= Record.maximumSequence else { continue }
        let decoded = try Array(frame.dropFirst()).withUnsafeBytes { try ServerFrame($0, in: DecodeArena(limitBytes: 1 << 20)) }
        guard case .appended(let appended) = decoded.reply else { return #expect(Bool(false), "no appended") }
        #expect(decoded.id == id && appended == Appended(recorded: recorded, firstSequence: first))
      }
    }
  }

  @Test("an append means the same whatever the order of its fields")
  func order() throws {
    let encoder = EventEncoder()
    let events: [Event] = [
      .task(TaskEvent(taskID: "t", kind: "completed", at: "x", ownerID: "o")),
      .channel(ChannelEvent(channelID: "c", kind: "created", at: "y")),
      .custom(json: Array(#"{"kind": "k"}"#.utf8)),
    ]
    let encoded = try events.map { try encoder.encode($0) }
    func field(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] { [tag] + Framing.delimited(content) }
    let parts = encoded.map { field(0x12, $0) }
    let number: [UInt8] = [0x08, 7]
    let frames: [String: [UInt8]] = [
      "as encoders write it": [0x08, 1] + field(0x1A, number + parts.joined() + [0x18, 0]),
      "the number last": [0x08, 1] + field(0x1A, parts.joined() + [0x18, 0] + number),
      "the id last": field(0x1A, number + parts.joined()) + [0x08, 1],
    ]
    let wanted = try events.indices.map { try Translation().records(ofEvents: [encoded[$0]], firstNumber: UInt64(7 + $0))[0].json() }
    for (name, frame) in frames {
      var id: UInt64?
      try frame.withUnsafeBytes { bytes in
        let arena = DecodeArena(limitBytes: 1 << 20)
        let decoded = try ClientFrame(bytes, in: arena, identified: &id)
        guard case .append(let append) = decoded.request else { return #expect(Bool(false), "\(name): no append") }
        #expect(decoded.id == 1 && append.count == 3 && append.producerSequence == 7 && !append.isProven, "\(name)")
      }
      #expect(id == 1, "\(name)")
      #expect(try Translation().records(ofFrame: Framing.delimited(frame), firstNumber: 7).map { try $0.json() } == wanted, "\(name)")
    }
  }
}
