import AuditLog
import AuditSchema
import AuditServer
import Foundation
import Logging
import MerkleTree
import NIOCore
import SegmentStore
import TestSupport
import Testing

/// What readers with rights are given, against a naive model of rights and filters: from disk, by the index, and at the tail.
@Suite(.timeLimit(.minutes(10))) struct RightsOracleTests {
  private static var quiet: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
  private static let seed = ProcessInfo.processInfo.environment["HUBAUDIT_SEED"].flatMap { UInt64($0) } ?? .random(in: 0...9999)
  private static let draws = 10_000

  /// A rule as it is written.
  private struct Rule {
    var hubs: [String]
    var kinds: [String]?

    static func names(_ patterns: [String], _ name: String, own: Bool) -> Bool {
      patterns.contains { pattern in
        pattern.hasSuffix("*") ? !own && name.hasPrefix(pattern.dropLast()) : pattern == name
      }
    }

    func names(hub: String, kind: String?, ownNeedsName: Bool) -> Bool {
      guard Self.names(hubs, hub, own: ownNeedsName && hub == "hubaudit") else { return false }
      guard let kinds else { return true }
      guard let kind else { return false }
      return Self.names(kinds, kind, own: false)
    }

    var compiled: ReadRights.Rule {
      ReadRights.Rule(hubs: hubs.map { NamePattern($0)! }, kinds: kinds.map { $0.map { NamePattern($0)! } })
    }
  }

  private struct Rights {
    var allow: [Rule]
    var deny: [Rule]

    func allows(_ record: Record) -> Bool {
      allow.contains { $0.names(hub: record.hub, kind: record.kind, ownNeedsName: true) }
        && !deny.contains { $0.names(hub: record.hub, kind: record.kind, ownNeedsName: false) }
    }

    var compiled: ReadRights { ReadRights(allow: allow.map(\.compiled), deny: deny.map(\.compiled)) }
  }

  private static func rule(_ random: inout SeededRandom) -> Rule {
    let hubs = (0..<1 + random.below(2)).map { _ in random.pick(["*", "bank", "bank*", "bank-*", "bank-a", "hr", "h*", "hub*", "hubaudit"])
    }
    let kinds = random.oneIn(3) ? (0..<1 + random.below(2)).map { _ in random.pick(["task*", "k0", "k*", "agent_registered", "*"]) } : nil
    return Rule(hubs: hubs, kinds: kinds)
  }

  private static func event(_ random: inout SeededRandom) -> Event {
    let agent = "a\(random.below(6))"
    switch random.below(4) {
    case 0: return .task(TaskEvent(taskID: "t\(random.below(40))", kind: "completed", ownerID: agent))
    case 1: return .agent(AgentEvent(agentID: agent, kind: "registered", name: "n"))
    case 2: return .custom(json: Array(#"{"agent_id":"\#(agent)"}"#.utf8))
    default: return .custom(json: Array(#"{"kind":"k\#(random.below(2))","agent_id":"\#(agent)"}"#.utf8))
    }
  }

  private static func filter(_ random: inout SeededRandom) -> RecordFilter {
    guard random.oneIn(2) else { return RecordFilter() }
    return RecordFilter(
      kinds: random.oneIn(4) ? [random.pick(["task_terminated", "k1", "agent_registered"])] : [],
      hubs: random.oneIn(4) ? [random.pick(["bank", "hr", "hubaudit", "none"])] : [],
      agents: random.oneIn(2) ? ["a\(random.below(7))"] : [])
  }

  @Test("no reader with rights gets a record too many or too few, at the tail, by the index, and by a full scan")
  func oracle() async throws {
    var random = SeededRandom(seed: Self.seed)
    var configuration = SegmentStoreConfiguration()
    configuration.segmentBytes = 16 << 10
    configuration.zeroAheadBytes = 1024
    configuration.searchBlockBytes = 1500
    let disk = MemoryFileSystem()
    func open() throws -> SegmentStore {
      try SegmentStore(directory: "/log", configuration: configuration, fileSystem: disk, logger: Self.quiet)
    }
    for hub in ["bank", "bank-a", "banks", "hr", "h"] {
      let log = try AuditLog(store: open(), hub: hub, logger: Self.quiet)
      for _ in 0..<12 { try await log.append((0..<1 + random.below(4)).map { _ in Self.event(&random) }) }
      try log.close()
    }
    // A key that comes to sign beside the first one makes a record of the log's own.
    var signing = AuditLogConfiguration()
    let keys = try (1...2).map { try SignerKey(name: "test.example/log", kind: .ed25519, seed: [UInt8](repeating: $0, count: 32)) }
    signing.signingKeys = [keys[0]]
    let first = try AuditLog(store: open(), hub: "bank", configuration: signing, logger: Self.quiet)
    try await first.finishOpening()
    try first.close()
    signing.signingKeys = keys
    let log = try AuditLog(store: open(), hub: "bank", configuration: signing, logger: Self.quiet)
    try await log.finishOpening()
    let begin = log.nextSequence
    try await log.append((0..<20).map { _ in Self.event(&random) })
    let store = try #require(log.store as? SegmentStore)
    try SearchIndexer(store: store, bytesPerSecond: .max, logger: Self.quiet).round()

    var records: [Record] = []
    let reader = RecordReader(store: store, from: 0)
    while let batch = try reader.next(before: store.nextSequence) {
      try batch.forEachRecord { records.append(try Record(Array($0))) }
    }
    #expect(records.contains { $0.hub == "hubaudit" } && records.contains { $0.kind == nil })
    let commits = log.tail.commits(from: begin, maxBytes: .max)
    let shared = SharedFilters(limitBytes: 64 << 20)
    let memory = ScanMemory(pieces: 1)
    var given = 0
    print("rights: seed \(Self.seed) (HUBAUDIT_SEED)")
    for draw in 0..<Self.draws {
      let rights = Rights(
        allow: (0..<1 + random.below(3)).map { _ in Self.rule(&random) }, deny: (0..<random.below(2)).map { _ in Self.rule(&random) })
      let filter = Self.filter(&random)
      // The filter alone is judged by tests of its own.
      let wanted = records.filter { record in
        rights.allows(record) && record.encoded.withUnsafeBytes { RecordMatcher(filter).matches($0) }
      }
      let held = try shared.acquire(filter, rights.compiled)
      let first = UInt64(random.below(records.count))
      let scanner = LogScanner(store: store, matcher: held.matcher, limits: WireLimits(), memory: memory)
      var found: [UInt64] = []
      func note(_ step: LogScanner.Step) {
        step.batch.withUnsafeReadableBytes { bytes in
          RecordBatchBytes(bytes).forEachRecord { found.append(RecordBytes($0)!.sequence!) }
        }
      }
      if random.oneIn(2) {
        var next = try scanner.resolve(.sequence(first), backwards: true)
        while true {
          let step = try scanner.backwards(from: next, maxBytes: 3000, maxRecords: .max)
          note(step)
          next = step.next
          if step.isAtEnd { break }
        }
        #expect(found == wanted.map(\.sequence).filter { $0 < first }.reversed(), "draw \(draw), backwards: \(rights), \(filter)")
      } else {
        var next = try scanner.resolve(.sequence(first))
        while true {
          let step = try scanner.forwards(from: next, before: store.nextSequence, maxBytes: 3000, maxRecords: .max)
          note(step)
          next = step.next
          if step.isAtEnd { break }
        }
        #expect(found == wanted.map(\.sequence).filter { $0 >= first }, "draw \(draw), forwards: \(rights), \(filter)")
      }
      var isNew = false
      let pushed = commits.flatMap { commit in
        shared.matches(held, in: commit, isNew: &isNew).records.map { commit.firstSequence + UInt64($0.index) }
      }
      let tail = commits.first!.firstSequence
      #expect(pushed == wanted.map(\.sequence).filter { $0 >= tail }, "draw \(draw), tail: \(rights), \(filter)")
      shared.forgetMatches()
      shared.release(held)
      given += found.count
    }
    #expect(given > Self.draws)
    try log.close()
  }
}
