import AuditClient
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

/// Filtered reads through the search index, against a look at every record.
@Suite(.timeLimit(.minutes(10))) struct SearchTests {
  /// `HUBAUDIT_SEED` repeats a run.
  private static let seed = ProcessInfo.processInfo.environment["HUBAUDIT_SEED"].flatMap(UInt64.init) ?? .random(in: 0...UInt64.max)
  private static var quiet: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }

  /// The same store to one who does not know that it has a search index.
  private final class Unsearched: RecordStore {
    let store: SegmentStore
    init(_ store: SegmentStore) { self.store = store }

    var start: LogStart { store.start }
    var nextSequence: UInt64 { store.nextSequence }
    var status: StoreStatus { store.status }
    func append(_ commit: borrowing Commit, state: () -> [UInt8]) throws(StoreError) { try store.append(commit, state: state) }
    func read(from position: ReadPosition, before end: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StoreError) -> ReadResult
    {
      try store.read(from: position, before: end, into: buffer)
    }
    func received(in times: Range<UInt64>) throws(StoreError) -> [Range<UInt64>] { try store.received(in: times) }
    func close() throws(StoreError) { try store.close() }
  }

  private static func open(_ disk: MemoryFileSystem, segmentBytes: UInt64 = 16 << 10, blockBytes: UInt64 = 1500) throws -> SegmentStore {
    var configuration = SegmentStoreConfiguration()
    configuration.segmentBytes = segmentBytes
    configuration.zeroAheadBytes = 1024
    configuration.indexSpacingBytes = 1000
    configuration.searchBlockBytes = blockBytes
    configuration.cachedSearchIndexes = 2
    return try SegmentStore(directory: "/log", configuration: configuration, fileSystem: disk, logger: quiet)
  }

  /// A log of three hubs about few agents, channels and tasks.
  private static func fill(_ disk: MemoryFileSystem, _ random: inout SeededRandom) async throws {
    for hub in 0..<3 {
      let log = try AuditLog(store: open(disk), hub: "h\(hub)", logger: quiet)
      for _ in 0..<80 {
        let events = (0..<1 + random.below(6)).map { _ in event(&random) }
        try await log.append(events)
      }
      try log.close()
    }
  }

  private static func event(_ random: inout SeededRandom) -> Event {
    let (agent, channel, task) = ("a\(random.below(30))", "c\(random.below(30))", "t\(random.below(200))")
    let text = String(repeating: "x", count: random.below(200))
    switch random.below(4) {
    case 0: return .task(TaskEvent(taskID: task, kind: "completed", ownerID: agent, channelID: channel, reason: text))
    case 1: return .channel(ChannelEvent(channelID: channel, kind: "closed", reason: text))
    case 2: return .agent(AgentEvent(agentID: agent, kind: "registered", name: text))
    default:
      return .custom(
        json: Array(#"{"kind":"k\#(random.below(3))","participants":["\#(agent)","a1"],"task_id":"\#(task)","text":"\#(text)"}"#.utf8))
    }
  }

  private static func filter(_ store: SegmentStore, _ random: inout SeededRandom) throws -> RecordFilter {
    func values(_ prefix: String, _ count: Int) -> [String] {
      random.oneIn(4) ? (0..<1 + random.below(2)).map { _ in "\(prefix)\(random.below(count))" } : []
    }
    var filter = RecordFilter(
      kinds: random.oneIn(6) ? [random.pick(["task_terminated", "channel_closed", "k1", "none"])] : [], hubs: values("h", 4),
      agents: values("a", 33), channels: values("c", 33), tasks: values("t", 220))
    if filter.isEmpty { filter.tasks = ["t\(random.below(200))"] }
    if random.oneIn(6) { filter.since = store.start.lastReceivedAt - UInt64(random.below(20_000_000)) }
    if random.oneIn(6) { filter.until = store.start.lastReceivedAt - UInt64(random.below(20_000_000)) }
    return filter
  }

  private struct Found: Equatable {
    var records: [[UInt8]] = []
    var next: UInt64
    var isAtEnd = false
    /// Erased records that may have matched.
    var erasedSkipped: UInt64 = 0
  }

  private struct Question {
    var start: UInt64
    var backwards: Bool
    var maxBytes: Int
    var limit: UInt64?
  }

  /// Reads as a session does: steps until the end or the limit.
  ///
  /// - Parameter checksHashes: whether the leaf hash that each step tells is compared with the record's.
  private static func read(
    _ store: any RecordStore, _ filter: RecordFilter, _ question: Question, checksHashes: Bool = false
  ) throws -> Found {
    let scanner = LogScanner(store: store, filter: filter, limits: WireLimits(), memory: ScanMemory(pieces: 1))
    let end = try scanner.end()
    var next = try scanner.resolve(.sequence(question.start), backwards: question.backwards)
    if question.backwards { next = min(next, end) }
    var found = Found(next: next)
    while !found.isAtEnd {
      let left = question.limit.map { $0 - UInt64(found.records.count) } ?? .max
      guard left > 0 else { break }
      let step =
        question.backwards
        ? try scanner.backwards(from: next, maxBytes: question.maxBytes, maxRecords: left)
        : try scanner.forwards(from: next, before: end, maxBytes: question.maxBytes, maxRecords: left)
      if checksHashes, !question.backwards, step.next > store.start.firstSequence {
        #expect(step.leafHash == (try leafHash(of: step.next - 1, in: store)), "told before \(step.next)")
      }
      guard step.isAtEnd || step.records > 0 || step.next != next else { throw StoreError(.invalid, "a step stands still at \(next)") }
      next = step.next
      step.batch.withUnsafeReadableBytes { bytes in
        RecordBatchBytes(bytes).forEachRecord { found.records.append(Array($0)) }
      }
      (found.next, found.isAtEnd) = (next, step.isAtEnd)
      found.erasedSkipped += step.erasedSkipped
    }
    return found
  }

  private static func leafHash(of sequence: UInt64, in store: any RecordStore) throws -> TreeHash? {
    var found: TreeHash?
    let reader = RecordReader(store: store, from: sequence)
    try withExtendedLifetime(reader) { try reader.next(before: sequence + 1)?.forEachRecord { found = TreeHash(leafOfRecord: $0) } }
    return found
  }

  /// Does something to the search indexes on disk.
  private static func damage(_ disk: MemoryFileSystem, _ random: inout SeededRandom) {
    let paths = disk.contents.keys.filter { $0.hasSuffix(".bloom") }.sorted()
    for _ in 0..<random.below(4) {
      let (path, other) = (random.pick(paths), random.pick(paths))
      guard var bytes = disk[path], !bytes.isEmpty else { continue }
      switch random.below(4) {
      case 0: disk[path] = nil
      case 1: (disk[path], disk[other]) = (disk[other], disk[path])
      case 2: disk[path] = Array(bytes[..<random.below(bytes.count)])
      default:
        bytes[random.below(bytes.count)] ^= UInt8(1 + random.below(255))
        disk[path] = bytes
      }
    }
  }

  @Test("filtered reads through the index are those of a full scan: random logs, filters, places, limits, holes and damaged indexes")
  func equal() async throws {
    print("search: seed \(Self.seed) (HUBAUDIT_SEED)")
    for round in 0..<12 {
      var random = SeededRandom(seed: Self.seed &+ UInt64(round))
      let disk = MemoryFileSystem()
      try await Self.fill(disk, &random)
      for isIndexed in [true, false] {
        let store = try Self.open(disk)
        if isIndexed { try SearchIndexer(store: store, bytesPerSecond: .max, logger: Self.quiet).round() }
        if !isIndexed { Self.damage(disk, &random) }
        for _ in 0..<random.below(5) { try Self.erase(UInt64(random.below(Int(store.nextSequence))), in: store) }
        for number in 0..<60 {
          let filter = try Self.filter(store, &random)
          let question = Question(
            start: random.oneIn(3) ? 0 : UInt64(random.below(Int(store.nextSequence) + 1)), backwards: random.oneIn(2),
            maxBytes: random.pick([1, 700, 5000, 256 << 10]), limit: random.oneIn(3) ? UInt64(1 + random.below(9)) : nil)
          let found = try Self.read(store, filter, question, checksHashes: true)
          let scanned = try Self.read(Unsearched(store), filter, question)
          #expect(found == scanned, "seed \(Self.seed), round \(round), \(number): \(filter), \(question)")
        }
        try store.close()
      }
    }
  }

  private static func erase(_ sequence: UInt64, in store: SegmentStore) throws {
    let erasure = Erasure(sequence: sequence, logSize: store.nextSequence, note: [])
    do { try store.order(erasure) } catch { if error.code == .invalid { return } else { throw error } }
    try store.erase(erasure)
  }

  @Test("blocks that cannot hold a match are not read, forwards and backwards")
  func skips() async throws {
    let disk = MemoryFileSystem()
    let log = try AuditLog(store: Self.open(disk, segmentBytes: 256 << 10, blockBytes: 4 << 10), hub: "h", logger: Self.quiet)
    for commit in 0..<400 {
      try await log.append(
        (0..<20).map { number in
          .task(
            TaskEvent(
              taskID: "t\(commit * 20 + number)", kind: "completed", ownerID: commit % 100 == 50 && number == 7 ? "rare" : "a\(number)",
              channelID: "c\(number)"))
        })
    }
    let store = try #require(log.store as? SegmentStore)
    // Nothing of it is in the newest segment, which has no index.
    try await log.append([.custom(json: Array(#"{"text":"\#(String(repeating: "x", count: 250_000))"}"#.utf8))])
    let size = Int(store.status.bytes) - 250_000
    let filter = RecordFilter(agents: ["rare"])
    func bytesRead(_ backwards: Bool) throws -> Int {
      let before = disk.readBytes(".seg")
      let question = Question(start: backwards ? store.nextSequence : 0, backwards: backwards, maxBytes: 256 << 10, limit: nil)
      let found = try Self.read(store, filter, question)
      #expect(found.records.count == 4 && found.isAtEnd)
      return disk.readBytes(".seg") - before
    }
    #expect(try bytesRead(false) >= size)
    #expect(try bytesRead(true) >= size)
    try SearchIndexer(store: store, bytesPerSecond: .max, logger: Self.quiet).round()
    // Four blocks, by chance some more, what stands around them, and the one large record.
    for backwards in [false, true] {
      let read = try bytesRead(backwards)
      #expect(read > 250_000 && read < 600_000 && read - 250_000 < size / 5, "\(read) of \(size) bytes, backwards \(backwards)")
    }
    try log.close()
  }

  @Test("a subscription that replays through the index is sent what matches, in order, and is told where it is when it has caught up")
  func subscription() async throws {
    var random = SeededRandom(seed: Self.seed)
    let disk = MemoryFileSystem()
    try await Self.fill(disk, &random)
    let store = try Self.open(disk)
    try SearchIndexer(store: store, bytesPerSecond: .max, logger: Self.quiet).round()
    let log = try AuditLog(store: store, hub: "h", logger: Self.quiet)
    var configuration = ServerConfiguration()
    // Hellos may be late when the machine is busy with other tests.
    configuration.helloTimeout = .seconds(300)
    configuration.addresses = [.tcp(host: "127.0.0.1", port: 0)]
    let server = AuditServer(log: log, configuration: configuration, logger: Self.quiet)
    guard case .tcp(let host, let port) = try await server.start().first else { return }
    let client = ClientConfiguration(address: .tcp(host: host, port: port), hub: "h")
    for _ in 0..<20 {
      let filter = try Self.filter(store, &random)
      guard filter.since == nil, filter.until == nil else { continue }
      let wanted = try Self.read(Unsearched(store), filter, Question(start: 0, backwards: false, maxBytes: 1 << 20, limit: nil))
      var found: [[UInt8]] = []
      var position: UInt64?
      for try await event in LogFollower(configuration: client, filter: filter, logger: Self.quiet) {
        if case .record(let record) = event { found.append(record.encoded) }
        if case .caughtUp(let next) = event {
          position = next
          break
        }
      }
      #expect(found == wanted.records && position == log.nextSequence, "seed \(Self.seed), \(filter)")
    }
    #expect(try await server.stop())
    try log.close()
  }
}
