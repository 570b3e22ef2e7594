import AuditSchema
import Testing

@Suite struct SearchTermsTests {
  private static func terms(of record: Record) -> Set<UInt64> {
    var terms: Set<UInt64> = []
    record.encoded.withUnsafeBytes { SearchTerms.forEach(of: $0) { terms.insert($0) } }
    return terms
  }

  private static func mayMatch(_ filter: RecordFilter, _ record: Record) -> Bool {
    let held = terms(of: record)
    return SearchTerms(filter).groups.allSatisfy { !held.isDisjoint(with: $0) }
  }

  @Test("a record has terms for exactly what filters find it by: kind, hub, and the subjects of every kind of detail")
  func everySubject() throws {
    let events: [Event] = [
      .task(TaskEvent(taskID: "t", kind: "completed", ownerID: "o", channelID: "c")),
      .channel(ChannelEvent(channelID: "c", kind: "closed")),
      .agent(AgentEvent(agentID: "a", kind: "registered", name: "Ada")),
      .custom(json: Array(#"{"kind":"own","agent_id":"a","creator_id":"cr","participants":["p1","p2"],"violators":["v"],"x":"no"}"#.utf8)),
      .custom(json: Array("{}".utf8)),
      .custom(json: Array(#"{"kind":"","participants":"p1","violators":"v","agent_id":["a"],"task_id":7}"#.utf8)),
    ]
    let encoder = EventEncoder()
    let records = try Translation(hub: "h").records(ofEvents: try events.map { try encoder.encode($0) })
    let names = ["t", "o", "c", "a", "cr", "p1", "p2", "v", "h", "own", "no", "", "task_terminated", "channel_closed", "agent_registered"]
    for record in records {
      for name in names {
        for filter in [
          RecordFilter(kinds: [name]), RecordFilter(hubs: [name]), RecordFilter(agents: [name]), RecordFilter(channels: [name]),
          RecordFilter(tasks: [name]), RecordFilter(kinds: ["nothing", name], hubs: ["h"]), RecordFilter(agents: [name], channels: ["c"]),
        ] {
          let matches = record.encoded.withUnsafeBytes { RecordMatcher(filter).matches($0) }
          #expect(Self.mayMatch(filter, record) == matches, "\(filter) and record \(record.sequence)")
        }
      }
    }
    #expect(records.map { Self.terms(of: $0).count } == [5, 3, 3, 7, 2, 4])
  }

  @Test("an empty kind finds the records whose kind is empty and those that have none; one text is a list of one")
  func emptyKind() throws {
    let texts = [
      #"{"kind": ""}"#, "{}", #"{"kind": "k"}"#, #"{"kind": null, "participants": "a"}"#, #"{"kind": 7, "violators": ["a"]}"#,
      #"{"agent_id": ["a"]}"#,
    ]
    let records = try Translation().records(ofEvents: try texts.map { try EventEncoder().encode(.custom(json: Array($0.utf8))) })
    func matching(_ filter: RecordFilter) -> [UInt64] {
      records.filter { record in record.encoded.withUnsafeBytes { RecordMatcher(filter).matches($0) } }.map(\.sequence)
    }
    #expect(records.map(\.kind) == ["", nil, "k", nil, nil, nil])
    #expect(matching(RecordFilter(kinds: [""])) == [0, 1, 3, 4, 5] && matching(RecordFilter(kinds: ["", "k"])) == [0, 1, 2, 3, 4, 5])
    #expect(matching(RecordFilter(agents: ["a"])) == [3, 4])
  }

  @Test("a record whose body was erased may match every filter of its kind and hub, and is ruled out by no agent, channel or task")
  func erased() throws {
    let encoder = EventEncoder()
    let whole = try Translation(hub: "h").records(
      ofEvents: [try encoder.encode(.task(TaskEvent(taskID: "t", kind: "completed", ownerID: "o", channelID: "c")))])[0].encoded
    // The size of a record of less than 16 KiB takes two bytes at most.
    let size = whole.count
    var framed = [RecordFraming.tag] + (size < 128 ? [UInt8(size)] : [UInt8(size & 127 | 128), UInt8(size >> 7)]) + whole
    let framing = try #require(framed.withUnsafeBytes { RecordFraming(head: $0) })
    #expect(framing.erase(in: &framed))
    let erased = Array(framed[framing.contentStart...])
    var held: Set<UInt64> = []
    erased.withUnsafeBytes { SearchTerms.forEach(of: $0) { held.insert($0) } }
    func match(_ filter: RecordFilter) -> RecordMatcher.Match {
      let match = erased.withUnsafeBytes { RecordMatcher(filter).match($0) }
      // An index rules out exactly what cannot match.
      #expect(SearchTerms(filter).groups.allSatisfy { !held.isDisjoint(with: $0) } == (match != .no), "\(filter)")
      return match
    }
    for filter in [
      RecordFilter(agents: ["o"]), RecordFilter(agents: ["somebody"]), RecordFilter(channels: ["any"], tasks: ["thing"]),
      RecordFilter(kinds: ["task_terminated"], agents: ["x"]), RecordFilter(hubs: ["h"], channels: ["x"]),
    ] {
      #expect(match(filter) == .erased)
    }
    #expect(match(RecordFilter(kinds: ["task_terminated"])) == .yes && match(RecordFilter(hubs: ["h"])) == .yes)
    #expect(match(RecordFilter(kinds: ["other"], agents: ["o"])) == .no && match(RecordFilter(hubs: ["other"], tasks: ["t"])) == .no)
  }

  @Test("a filter that names times alone has no terms, and a value is another one in another field")
  func times() {
    #expect(SearchTerms(RecordFilter(since: 1, until: 2)).isEmpty)
    #expect(SearchTerms(RecordFilter()).isEmpty)
    // The third is that of erased records.
    #expect(SearchTerms(RecordFilter(agents: ["a", "b"], since: 1)).groups.map(\.count) == [3])
    #expect(SearchTerms(RecordFilter(kinds: ["a", "b"])).groups.map(\.count) == [2])
    let hashes = FilterField.allCases.map { field in Array("a".utf8).withUnsafeBytes { SearchTerms.hash(field, $0) } }
    #expect(Set(hashes).count == FilterField.allCases.count)
  }

  @Test("hashes are those that search indexes on disk were made with")
  func golden() {
    func hash(_ field: FilterField, _ text: String) -> UInt64 { Array(text.utf8).withUnsafeBytes { SearchTerms.hash(field, $0) } }
    #expect(hash(.kind, "task_terminated") == 0xACE3_FCA1_6402_9838)
    #expect(hash(.agent, "a-1") == 0x0EDA_59A3_994B_F67F)
    #expect(hash(.task, "") == 0x9D65_FD54_5547_E55E)
  }
}
