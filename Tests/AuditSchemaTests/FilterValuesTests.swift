import AuditSchema
import Testing

@Suite struct FilterValuesTests {
  private static let filters: [RecordFilter] = [0, 1, 3, 4, 5, 17, 100, 1000].flatMap { count in
    let values = (0..<count).map { "v\($0 * 7 % max(1, count))" } + (count > 3 ? [""] : [])
    return [RecordFilter(kinds: values), RecordFilter(hubs: values, agents: ["a"]), RecordFilter(agents: ["v1"], tasks: values)]
  }

  @Test("equal filters are equal whatever the order of their values, and different ones are not")
  func equality() {
    for filter in Self.filters {
      var other = filter
      other.kinds = (filter.kinds + filter.kinds).shuffled()
      other.tasks = (filter.tasks + filter.tasks).shuffled()
      #expect(RecordMatcher(other) == RecordMatcher(filter) && RecordMatcher(other).hashValue == RecordMatcher(filter).hashValue)
      other.channels.append("")
      #expect(RecordMatcher(other) != RecordMatcher(filter))
    }
    // Where one value ends tells them apart.
    #expect(RecordMatcher(RecordFilter(kinds: ["ab", "c"])) != RecordMatcher(RecordFilter(kinds: ["a", "bc"])))
    #expect(RecordMatcher(RecordFilter(kinds: ["a"])) != RecordMatcher(RecordFilter(hubs: ["a"])))
  }

  @Test("its memory is counted: at least the values, and not much more than they")
  func memory() {
    for filter in Self.filters {
      let bytes = RecordMatcher(filter).memoryBytes
      #expect(bytes > Set(filter.kinds).reduce(0) { $0 + $1.utf8.count } && bytes < 2000 + 2 * filter.valueBytes + 40 * filter.valueCount)
    }
  }

  @Test("values are compared as bytes: two that look the same and are written differently are both found")
  func bytes() throws {
    let encoder = EventEncoder()
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}")
    let records = try Translation(hub: "h").records(
      ofEvents: [composed, decomposed].map { try encoder.encode(.custom(json: Array(#"{"kind":"\#($0)"}"#.utf8))) })
    func matching(_ kinds: [String]) -> [UInt64] {
      records.filter { record in record.encoded.withUnsafeBytes { RecordMatcher(RecordFilter(kinds: kinds)).matches($0) } }.map(\.sequence)
    }
    #expect(matching([composed]) == [0] && matching([decomposed]) == [1] && matching([composed, decomposed]) == [0, 1])
    #expect(matching(["a", "b", "c", composed, decomposed]) == [0, 1])
    #expect(RecordMatcher(RecordFilter(kinds: [composed])) != RecordMatcher(RecordFilter(kinds: [decomposed])))
  }

  @Test("of many values the one that a record has is found, and no other")
  func contains() throws {
    let encoder = EventEncoder()
    let records = try Translation(hub: "h").records(
      ofEvents: (0..<50).map { try encoder.encode(.custom(json: Array(#"{"kind":"k\#($0)","task_id":"t\#($0)"}"#.utf8))) })
    for count in [1, 4, 5, 40, 3000] {
      let kinds = (0..<count).map { "k\($0 * 2)" }
      let matcher = RecordMatcher(RecordFilter(kinds: kinds))
      let tasks = RecordMatcher(RecordFilter(tasks: kinds.map { "t" + $0.dropFirst() }))
      for (number, record) in records.enumerated() {
        let isWanted = kinds.contains("k\(number)")
        #expect(record.encoded.withUnsafeBytes { matcher.matches($0) } == isWanted)
        #expect(record.encoded.withUnsafeBytes { tasks.match($0) } == (isWanted ? .yes : .no))
      }
    }
  }
}
