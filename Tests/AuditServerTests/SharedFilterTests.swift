import AuditLog
import AuditSchema
import AuditServer
import Logging
import SegmentStore
import TestSupport
import Testing

/// What filters take, and how often commits are looked at with them.
@Suite(.timeLimit(.minutes(1))) struct SharedFilterTests {
  private static var quiet: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }

  private func withCommits(_ body: (AuditLog, [CommitBytes]) throws -> Void) async throws {
    let store = try SegmentStore(
      directory: "/log", configuration: SegmentStoreConfiguration(), fileSystem: MemoryFileSystem(), logger: Self.quiet)
    let log = try AuditLog(store: store, hub: "h", logger: Self.quiet)
    for commit in 0..<10 {
      try await log.append((0..<20).map { .task(TaskEvent(taskID: "t\(commit * 20 + $0)", kind: "completed", ownerID: "a\($0 % 5)")) })
    }
    try body(log, log.tail.commits(from: 0, maxBytes: .max))
    try log.close()
  }

  @Test("equal filters are held once, and look at a commit once for all subscriptions")
  func shared() async throws {
    try await withCommits { _, commits in
      let filters = SharedFilters(limitBytes: 1 << 20)
      // The same in another order, and with a repetition.
      let asked = try (0..<1000).map { number in
        try filters.acquire(RecordFilter(agents: number % 2 == 0 ? ["a1", "a2"] : ["a2", "a1", "a2"], since: 1))
      }
      #expect(filters.count == 1 && asked.allSatisfy { $0 === asked[0] })
      let one = filters.memoryBytes
      var isNew = false
      for commit in commits {
        for filter in asked {
          let found = filters.matches(filter, in: commit, isNew: &isNew)
          #expect(found.records.map(\.index) == [1, 2, 6, 7, 11, 12, 16, 17])
        }
      }
      #expect(filters.evaluations == UInt64(commits.count))
      let other = try filters.acquire(RecordFilter(agents: ["a1", "a2"], since: 2))
      #expect(other !== asked[0] && filters.memoryBytes > one)
      filters.release(other)
      for filter in asked { filters.release(filter) }
      #expect(filters.count == 0 && filters.memoryBytes == 0)
    }
  }

  @Test("what was found in commits is bounded, and forgetting it changes nothing")
  func bounded() async throws {
    try await withCommits { _, commits in
      let filters = SharedFilters(limitBytes: 64 << 20)
      let asked = try (0..<2000).map { try filters.acquire(RecordFilter(agents: ["a\($0)"])) }
      var isNew = false
      for _ in 0..<2 {
        for (number, filter) in asked.enumerated() {
          for commit in commits { #expect(filters.matches(filter, in: commit, isNew: &isNew).records.count == (number < 5 ? 4 : 0)) }
        }
        filters.forgetMatches()
      }
      #expect(filters.evaluations >= 2 * 20_000)
    }
  }

  @Test("a filter for which there is no room is refused, by name, and leaves nothing behind")
  func limit() throws {
    let filters = SharedFilters(limitBytes: 16 << 10)
    func filter(_ number: Int) -> RecordFilter { RecordFilter(kinds: (0..<100).map { "kind \(number) \($0)" }) }
    var held: [SharedFilters.Shared] = []
    let error = #expect(throws: RequestError.self) { while held.count < 100 { held.append(try filters.acquire(filter(held.count))) } }
    #expect(error?.code == .limitExceeded && error?.message.contains("all_filter_bytes") == true)
    #expect(!held.isEmpty && filters.memoryBytes <= 16 << 10 && filters.count == held.count)
    // One that is there takes no more.
    filters.release(try filters.acquire(filter(0)))
    let bytes = filters.memoryBytes
    filters.release(held.removeLast())
    #expect(filters.memoryBytes < bytes)
    held.append(try filters.acquire(filter(1000)))
  }

  @Test("reading memory is lent for a step: scanners that wait hold none")
  func memory() async throws {
    try await withCommits { log, _ in
      let memory = ScanMemory(pieces: 2)
      let scanners = (0..<100).map { _ in
        LogScanner(store: log.store, filter: RecordFilter(agents: ["a1"]), limits: WireLimits(), memory: memory)
      }
      for scanner in scanners {
        let step = try scanner.forwards(from: 0, before: 200, maxBytes: 1000, maxRecords: .max)
        #expect(step.records > 0 && !step.isAtEnd && memory.lent == 0)
        let back = try scanner.backwards(from: 200, maxBytes: 1000, maxRecords: .max)
        #expect(back.records > 0 && !back.isAtEnd && memory.lent == 0)
      }
    }
  }
}
