import AuditLog
import AuditSchema
import Logging
import SegmentStore
import TestSupport

/// A log in memory whose records are about a few agents, channels and tasks, and searches in it.
struct SearchFixture {
  static let directory = "/log"
  static let names = (0..<40).map { "n\($0)" }

  let disk: MemoryFileSystem
  let logs = LogLines()
  var configuration = SegmentStoreConfiguration()
  private(set) var store: SegmentStore

  /// - Parameter indexBytesPerSecond: 0: only `index` makes indexes.
  init(
    _ files: [String: [UInt8]] = [:], segmentBytes: UInt64 = 8 << 10, indexBytesPerSecond: UInt64 = 0,
    fileSystem: ((MemoryFileSystem) -> any FileSystem)? = nil
  ) throws {
    configuration.segmentBytes = segmentBytes
    configuration.searchIndexBytesPerSecond = indexBytesPerSecond
    configuration.zeroAheadBytes = 512
    configuration.indexSpacingBytes = 700
    configuration.searchBlockBytes = 1000
    configuration.searchValuesPerBlock = 48
    configuration.cachedSearchIndexes = 2
    disk = MemoryFileSystem(files)
    store = try SegmentStore(
      directory: Self.directory, configuration: configuration, fileSystem: fileSystem?(disk) ?? disk, logger: logs.logger)
  }

  /// Makes what search indexes are missing, as the background does.
  func index() throws { try indexer().round() }

  func indexer() -> SearchIndexer { SearchIndexer(store: store, bytesPerSecond: .max, logger: logs.logger) }

  /// The names of the search indexes there are.
  var indexPaths: [String] { disk.contents.keys.filter { $0.hasSuffix(".bloom") }.sorted() }

  var segmentCount: Int { disk.contents.keys.filter { $0.hasSuffix(".seg") }.count }

  /// Appends commits of a few records each, up to about so many records.
  func fill(_ records: UInt64, _ random: inout SeededRandom) throws {
    while store.nextSequence < records {
      let first = store.nextSequence
      let count = 1 + random.below(6)
      let time = SegmentStore.time(first)
      let bytes = (0..<count).flatMap { Self.record(first + UInt64($0), receivedAt: time, &random) }
      try store.append(bytes, count: count, first: first, receivedAt: time)
    }
  }

  /// Of a kind, a hub, and subjects drawn from few names; one in 50 about a great many agents.
  static func record(_ sequence: UInt64, receivedAt: UInt64, _ random: inout SeededRandom) -> [UInt8] {
    var subjects: [UInt8] = []
    for field in 1...7 where random.oneIn(3) {
      let count = field >= 6 && random.oneIn(10) ? 30 : 1
      for _ in 0..<count { subjects += RecordFixture.delimited(UInt8(field << 3 | 2), Array(random.pick(names).utf8)) }
    }
    // Free text, as long as it comes.
    subjects += RecordFixture.delimited(0x5A, Array(String(repeating: "x", count: random.below(120)).utf8))
    return RecordFixture.record(
      sequence, receivedAt: receivedAt, hub: "h\(random.below(3))", kind: "k\(random.below(9))",
      // Field 27, a custom record.
      content: [0xDA, 0x01] + RecordFixture.delimited(0, subjects).dropFirst())
  }

  static func filter(_ random: inout SeededRandom) -> RecordFilter {
    func values(_ prefix: String, _ count: Int) -> [String] {
      random.oneIn(3) ? (0..<1 + random.below(2)).map { _ in "\(prefix)\(random.below(count))" } : []
    }
    let filter = RecordFilter(
      kinds: values("k", 12), hubs: values("h", 4), agents: values("n", 50), channels: values("n", 50), tasks: values("n", 50))
    return filter.isEmpty ? RecordFilter(agents: [random.pick(names)]) : filter
  }

  /// The sequences that match, by looking at every record.
  func scan(_ filter: RecordFilter) throws -> [UInt64] {
    let matcher = RecordMatcher(filter)
    return try store.records().enumerated().compactMap { sequence, record in
      let wanted = record.withUnsafeBytes { bytes in
        var fields = WireReader(bytes)
        return matcher.matches(fields.next()!.bytes)
      }
      return wanted ? UInt64(sequence) : nil
    }
  }

  /// What a search may not rule out, in the order of the search; sees that the store keeps to its contract.
  func search(_ range: Range<UInt64>, _ filter: RecordFilter, backwards: Bool) throws -> [UInt64] {
    try search(range, SearchTerms(filter), backwards: backwards)
  }

  func search(_ range: Range<UInt64>, _ terms: SearchTerms, backwards: Bool) throws -> [UInt64] {
    var left = range
    var found: [UInt64] = []
    while !left.isEmpty {
      let stretch = try store.candidates(in: left, for: terms, backwards: backwards)
      let sequences = stretch.start.sequence..<stretch.end
      guard left.lowerBound <= sequences.lowerBound, sequences.upperBound <= left.upperBound else {
        throw FixtureError("\(sequences) was asked for within \(left)")
      }
      found += backwards ? sequences.reversed() : Array(sequences)
      let rest = backwards ? left.lowerBound..<sequences.lowerBound : sequences.upperBound..<left.upperBound
      guard rest.count < left.count else { throw FixtureError("a search stands still at \(left)") }
      try readAll(stretch)
      left = rest
    }
    return found
  }

  /// The place of a stretch on disk is that of its first record, and its size is enough to read it.
  private func readAll(_ stretch: CandidateStretch) throws {
    guard !stretch.isEmpty, let bytes = stretch.bytes else { return }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(bytes), alignment: 16)
    defer { buffer.deallocate() }
    guard case .records(_, let count, _) = try store.read(from: stretch.start, before: stretch.end, into: buffer),
      UInt64(count) == stretch.end - stretch.start.sequence
    else { throw FixtureError("the stretch from \(stretch.start.sequence) to \(stretch.end) is not in its \(bytes) bytes") }
  }
}

extension RecordFixture {
  static func record(_ sequence: UInt64, receivedAt: UInt64, hub: String, kind: String, content body: [UInt8]) -> [UInt8] {
    let header =
      [0x09] + littleEndian(sequence) + [0x11] + littleEndian(receivedAt) + delimited(0x1A, Array(hub.utf8))
      + delimited(0x32, Array(kind.utf8)) + [0x38, 1] + delimited(0x42, SHA256.hash(body))
    return sealed(delimited(0x0A, header) + delimited(0x12, body))
  }
}
