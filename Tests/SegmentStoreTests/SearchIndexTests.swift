import AuditLog
import AuditSchema
import CAuditDigest
import Foundation
import SegmentStore
import TestSupport
import Testing

/// What a search index may and may not do to a search, whatever has become of its file.
@Suite(.timeLimit(.minutes(10))) struct SearchIndexTests {
  /// `HUBAUDIT_SEED` repeats a run.
  private static let seed = ProcessInfo.processInfo.environment["HUBAUDIT_SEED"].flatMap(UInt64.init) ?? .random(in: 0...UInt64.max)

  /// Searches from everywhere in both directions: nothing that matches is ruled out, and nothing comes twice or in another order.
  ///
  /// - Returns: how many records were ruled out.
  @discardableResult
  private func searchAll(_ log: SearchFixture, _ random: inout SeededRandom, rounds: Int = 12, _ what: String) throws -> Int {
    let end = log.store.nextSequence
    var ruledOut = 0
    for _ in 0..<rounds {
      let filter = SearchFixture.filter(&random)
      let bounds = [UInt64(random.below(Int(end))), UInt64(random.below(Int(end) + 1))].sorted()
      let range = random.oneIn(2) ? 0..<end : bounds[0]..<bounds[1]
      let wanted = try log.scan(filter).filter(range.contains)
      for backwards in [false, true] {
        let found = try log.search(range, filter, backwards: backwards)
        #expect(zip(found, found.dropFirst()).allSatisfy { backwards ? $0 > $1 : $0 < $1 }, "\(what), \(filter)")
        #expect(Set(found).isSuperset(of: wanted), "\(what), \(filter), \(range), backwards \(backwards)")
        ruledOut += range.count - found.count
      }
    }
    return ruledOut
  }

  @Test("no record that a filter wants is ruled out, in random logs with holes, and many others are")
  func neverFalse() throws {
    print("search index: seed \(Self.seed) (HUBAUDIT_SEED)")
    var ruledOut = 0
    for round in 0..<20 {
      var random = SeededRandom(seed: Self.seed &+ UInt64(round))
      let log = try SearchFixture()
      try log.fill(500, &random)
      for _ in 0..<random.below(8) { try erase(UInt64(random.below(500)), in: log) }
      try log.index()
      for _ in 0..<random.below(8) { try erase(UInt64(random.below(500)), in: log) }
      let what = "seed \(Self.seed), round \(round)"
      ruledOut += try searchAll(log, &random, what)
      try log.index()
      #expect(log.indexPaths.count == log.segmentCount - 1, "\(what)")
      ruledOut += try searchAll(log, &random, what)
      try log.store.close()
    }
    // One search's share depends on what its filter asks for; that of all 960 does not.
    #expect(ruledOut > 40 * 1000, "seed \(Self.seed)")
  }

  @Test(
    "the newest segment is searched by what is in memory of it: never false, with erasures, records to come and segments that are sealed")
  func newestSegment() throws {
    var ruledOut = 0
    for round in 0..<8 {
      var random = SeededRandom(seed: Self.seed &+ UInt64(round))
      let isLarge = round % 2 == 0
      let log = try SearchFixture(segmentBytes: isLarge ? 1 << 20 : 24 << 10)
      let indexer = log.indexer()
      for size in [300, 305, 600] as [UInt64] {
        let what = "seed \(Self.seed), round \(round), \(size) records"
        try log.fill(size, &random)
        try searchAll(log, &random, rounds: 4, what)
        indexer.wantNewest()
        try indexer.round()
        ruledOut += try searchAll(log, &random, what)
        // An erasure forgets what may tell of the body, and the next round makes it anew.
        for _ in 0..<random.below(3) { try erase(UInt64(random.below(Int(size))), in: log) }
        try searchAll(log, &random, rounds: 4, what)
      }
      #expect(isLarge == (log.segmentCount == 1))
      try log.store.close()
    }
    #expect(ruledOut > 24 * 300, "seed \(Self.seed)")
  }

  @Test("nothing of an erased body stays in what is in memory of the newest segment")
  func erasedInMemory() throws {
    var random = SeededRandom(seed: Self.seed)
    let log = try SearchFixture(segmentBytes: 1 << 20)
    try log.fill(400, &random)
    let indexer = log.indexer()
    indexer.wantNewest()
    try indexer.round()
    let nobody = RecordFilter(agents: ["nobody"])
    #expect(try log.search(0..<400, nobody, backwards: false).count < 100)
    try erase(7, in: log)
    // It is gone, and what is searched by it is all read.
    #expect(try log.search(0..<400, nobody, backwards: false).count == 400)
  }

  @Test("a search of a newest segment that is in no index has it made in the background")
  func wanted() throws {
    var random = SeededRandom(seed: Self.seed)
    let log = try SearchFixture(segmentBytes: 1 << 20, indexBytesPerSecond: .max)
    try log.fill(400, &random)
    let deadline = ContinuousClock.now + .seconds(60)
    while try log.search(0..<400, RecordFilter(agents: ["nobody"]), backwards: true).count > 100 {
      try #require(ContinuousClock.now < deadline, "no index was made")
    }
    try searchAll(log, &random, "seed \(Self.seed)")
    try log.store.close()
  }

  private func erase(_ sequence: UInt64, in log: SearchFixture) throws {
    let erasure = Erasure(sequence: sequence, logSize: log.store.nextSequence, note: [])
    do { try log.store.order(erasure) } catch { if error.code == .invalid { return } else { throw error } }
    try log.store.erase(erasure)
  }

  @Test(
    "an index that is missing, cut, swapped, of another segment or changed anywhere rules nothing out that is wanted, and is made again")
  func damaged() throws {
    var random = SeededRandom(seed: Self.seed)
    let good = try SearchFixture()
    try good.fill(300, &random)
    try good.index()
    try good.store.close()
    let files = good.disk.contents
    let paths = good.indexPaths
    let bytes = files[paths[1]]!
    var cases: [(String, [UInt8]?)] = [
      ("missing", nil), ("empty", []), ("of another segment", files[paths[2]]), ("longer", bytes + [0]),
      ("of zeros", [UInt8](repeating: 0, count: bytes.count)),
    ]
    cases += stride(from: 0, to: bytes.count, by: 2).map { at in
      var flipped = bytes
      flipped[at] ^= 1 << UInt8(at % 8)
      return ("flipped at \(at)", flipped)
    }
    cases += stride(from: 1, to: bytes.count, by: 7).map { ("cut at \($0)", Array(bytes[..<$0])) }
    #expect(cases.count > 400)
    for (what, damaged) in cases {
      var files = files
      files[paths[1]] = damaged
      let log = try SearchFixture(files)
      // Whoever makes indexes knows of all of them before a search meets the damage.
      try searchAll(log, &random, rounds: 3, "seed \(Self.seed), \(what)")
      let everything = RecordFilter(kinds: ["none"])
      _ = try log.search(0..<log.store.nextSequence, everything, backwards: false)
      try log.index()
      #expect(log.disk[paths[1]] == bytes, "seed \(Self.seed), \(what)")
      #expect(damaged == nil || log.logs.contain("damaged or stale"), "seed \(Self.seed), \(what)")
      try log.store.close()
    }
  }

  /// An index whose filters hold nothing, with good checksums.
  private func emptied(_ index: [UInt8]) -> [UInt8] {
    var bytes = index
    func checksum(_ part: some Collection<UInt8>) -> [UInt8] {
      RecordFixture.littleEndian(Array(part).withUnsafeBytes { caudit_crc32c(0, $0.baseAddress, $0.count) })
    }
    let count = Int(bytes[bytes.count - 8])
    let tableStart = bytes.count - 8 - count * 24
    var filterStart = 72
    for entry in stride(from: tableStart, to: bytes.count - 8, by: 24) {
      let size = Int(bytes[entry + 16]) | Int(bytes[entry + 17]) << 8
      bytes.replaceSubrange(filterStart..<filterStart + size, with: [UInt8](repeating: 0, count: size))
      bytes.replaceSubrange(entry + 20..<entry + 24, with: checksum(bytes[filterStart..<filterStart + size]))
      filterStart += size
    }
    bytes.replaceSubrange((bytes.count - 4)..., with: checksum(bytes[..<72] + bytes[tableStart..<bytes.count - 4]))
    return bytes
  }

  @Test("an index that hides records, with good checksums, is reported by verify, and made again by the scrub")
  func hiding() throws {
    var random = SeededRandom(seed: Self.seed)
    let good = try SearchFixture()
    try good.fill(120, &random)
    try good.index()
    try good.store.close()
    func verify(_ log: SearchFixture) throws -> LogAudit {
      try LogVerification(
        directory: SearchFixture.directory, checkpoints: nil, keys: [], brought: [], fileSystem: log.disk, progress: { _ in }
      ).audit
    }
    #expect(try verify(good).findings.isEmpty)
    var files = good.disk.contents
    let path = good.indexPaths[1]
    files[path] = emptied(files[path]!)
    let log = try SearchFixture(files)
    let hidden = try log.scan(RecordFilter(kinds: ["k1"]))
    let found = try log.search(0..<log.store.nextSequence, RecordFilter(kinds: ["k1"]), backwards: false)
    #expect(!Set(found).isSuperset(of: hidden))
    let findings = try verify(log).findings
    #expect(findings.count == 1 && findings[0].place.contains(path), "\(findings)")

    let scrub = Scrub(store: log.store, bytesPerSecond: .max, pause: .seconds(1), logger: log.logs.logger)
    try scrub.round()
    #expect(scrub.status.findings.isEmpty && !log.indexPaths.contains(path))
    try log.index()
    #expect(try verify(log).findings.isEmpty && log.indexPaths.contains(path))
    try searchAll(log, &random, "after the scrub")
    try log.store.close()
  }

  @Test("an index with good checksums and wrong places never makes a search crash, stand still, or take one record for another")
  func forged() throws {
    var random = SeededRandom(seed: Self.seed)
    let good = try SearchFixture()
    try good.fill(120, &random)
    try good.index()
    let records = try good.store.records()
    try good.store.close()
    let files = good.disk.contents
    let path = good.indexPaths[0]
    for _ in 0..<400 {
      var bytes = files[path]!
      let count = Int(bytes[bytes.count - 8])
      let tableStart = bytes.count - 8 - count * 24
      for _ in 0..<1 + random.below(3) { bytes[tableStart + random.below(count * 24)] = UInt8(random.below(256)) }
      let checked = bytes[..<72] + bytes[tableStart..<bytes.count - 4]
      let checksum = Array(checked).withUnsafeBytes { caudit_crc32c(0, $0.baseAddress, $0.count) }
      bytes.replaceSubrange((bytes.count - 4)..., with: RecordFixture.littleEndian(checksum))
      var files = files
      files[path] = bytes
      let log = try SearchFixture(files)
      for backwards in [false, true] {
        let filter = SearchFixture.filter(&random)
        var left = 0..<log.store.nextSequence
        while !left.isEmpty {
          let stretch = try log.store.candidates(in: left, for: SearchTerms(filter), backwards: backwards)
          let rest = backwards ? left.lowerBound..<stretch.start.sequence : stretch.end..<left.upperBound
          #expect(rest.count < left.count && stretch.start.sequence <= stretch.end, "seed \(Self.seed)")
          guard rest.count < left.count else { break }
          left = rest
          guard !stretch.isEmpty else { continue }
          let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
          defer { buffer.deallocate() }
          guard case .records(let range, _, _)? = try? log.store.read(from: stretch.start, before: stretch.end, into: buffer) else {
            continue
          }
          var sequence = Int(stretch.start.sequence)
          RecordBatchBytes(UnsafeRawBufferPointer(rebasing: buffer[range])).forEachRange { _, at in
            #expect(Array(UnsafeRawBufferPointer(rebasing: buffer[range])[at]) == records[sequence], "seed \(Self.seed)")
            sequence += 1
          }
        }
      }
      try log.store.close()
    }
  }

  @Test("indexes that were swapped, all of them, are all made again")
  func swapped() throws {
    var random = SeededRandom(seed: Self.seed)
    let good = try SearchFixture()
    try good.fill(300, &random)
    try good.index()
    try good.store.close()
    var files = good.disk.contents
    let paths = good.indexPaths
    #expect(paths.count > 3)
    for (path, other) in zip(paths, paths.dropFirst() + [paths[0]]) { files[path] = good.disk[other] }
    let log = try SearchFixture(files)
    try searchAll(log, &random, "seed \(Self.seed)")
    try log.index()
    #expect(log.disk.contents == files.merging(good.disk.contents) { $1 })
    try log.store.close()
  }

  @Test("an index of the same segment, from a log that went on otherwise to the same size, is stale")
  func otherContinuation() throws {
    /// Commits of one record each, which differ in nothing but whom they are about.
    func go(_ log: SearchFixture, to end: UInt64, about agent: String) throws {
      while log.store.nextSequence < end {
        let sequence = log.store.nextSequence
        let record = RecordFixture.record(
          sequence, receivedAt: SegmentStore.time(sequence), hub: "hub", kind: "kind",
          content: [0xDA, 0x01] + RecordFixture.delimited(0, RecordFixture.delimited(0x0A, Array(agent.utf8))).dropFirst())
        try log.store.append(record, count: 1, first: sequence, receivedAt: SegmentStore.time(sequence))
      }
    }
    let first = try SearchFixture()
    try go(first, to: 10, about: "before")
    try first.store.close()
    let copy = first.disk.contents
    let one = try SearchFixture(copy)
    try go(one, to: 200, about: "agent1")
    try one.index()
    try one.store.close()
    let other = try SearchFixture(copy)
    try go(other, to: 200, about: "agent2")
    try other.store.close()
    var files = other.disk.contents
    let path = one.indexPaths[0]
    let segment = files.keys.filter { $0.hasSuffix(".seg") }.sorted()[0]
    #expect(files[segment]!.count == one.disk[segment]!.count)
    files[path] = one.disk[path]
    let log = try SearchFixture(files)
    let filter = RecordFilter(agents: ["agent2"])
    #expect(try log.search(0..<200, filter, backwards: false).suffix(190) == Array(10..<200))
    try log.index()
    #expect(log.disk[path] != one.disk[path])
    try log.store.close()
  }

  @Test("whom an erased body was about is in no search index any more")
  func erased() throws {
    var random = SeededRandom(seed: Self.seed)
    let log = try SearchFixture()
    try log.fill(20, &random)
    let sequence = log.store.nextSequence
    let record = RecordFixture.record(
      sequence, receivedAt: SegmentStore.time(sequence), hub: "hub", kind: "kind",
      content: [0xDA, 0x01] + RecordFixture.delimited(0, RecordFixture.delimited(0x0A, Array("somebody".utf8))).dropFirst())
    try log.store.append(record, count: 1, first: sequence, receivedAt: SegmentStore.time(sequence))
    try log.fill(200, &random)
    let indexer = log.indexer()
    try indexer.round()
    let path = log.indexPaths[0]
    let before = log.disk[path]
    #expect(try log.search(0..<200, RecordFilter(agents: ["somebody"]), backwards: false).contains(sequence))
    try erase(sequence, in: log)
    #expect(log.disk[path] == nil)
    try log.index()
    #expect(log.disk[path] != nil && log.disk[path] != before)
    // Another segment than the newest, which has none.
    let sealed = log.disk.contents.keys.filter { $0.hasSuffix(".seg") }.sorted().last!
    let end = UInt64(sealed.suffix(24).dropLast(4))!
    let somebody = Array("somebody".utf8).withUnsafeBytes { SearchTerms.hash(.agent, $0) }
    #expect(try !log.search(0..<end, SearchTerms(groups: [[somebody]]), backwards: false).contains(sequence))
    // Nobody can tell any more whom it was about: a search for anybody looks at it.
    for agent in ["somebody", "nobody", ""] {
      #expect(try log.search(0..<end, RecordFilter(agents: [agent]), backwards: false).contains(sequence))
    }
    #expect(try !log.search(0..<end, RecordFilter(hubs: ["none"], agents: ["somebody"]), backwards: false).contains(sequence))
    try log.store.close()
  }

  @Test("an index that cannot be read or made costs nothing but the index, and nothing of it is ever synced")
  func failing() throws {
    var random = SeededRandom(seed: Self.seed)
    let good = try SearchFixture()
    try good.fill(300, &random)
    try good.store.close()
    var ruledOut = 0
    for call in ["open", "pread", "pwritev", "rename", "fstat"] {
      for after in 0..<4 {
        var faults: FaultyFileSystem?
        let log = try SearchFixture(good.disk.contents) { disk in
          faults = FaultyFileSystem(disk)
          return faults!
        }
        let syncs = faults!.count("fsync") + faults!.count("fdatasync")
        faults!.fail(.init(call: call, path: ".bloom", after: after, error: EIO))
        try log.index()
        try searchAll(log, &random, rounds: 4, "seed \(Self.seed), \(call) \(after)")
        faults!.heal()
        try log.index()
        #expect(log.indexPaths.count == log.segmentCount - 1, "\(call) \(after)")
        ruledOut += try searchAll(log, &random, rounds: 4, "seed \(Self.seed), \(call) \(after)")
        #expect(faults!.count("fsync") + faults!.count("fdatasync") == syncs)
        #expect(log.disk.contents.keys.allSatisfy { !$0.hasSuffix(".new") }, "\(call) \(after)")
        try log.store.close()
      }
    }
    // By chance some filters rule out little.
    #expect(ruledOut > 5000)
  }

  @Test("a segment that is damaged gets no index: a search reads it and meets the damage")
  func damagedSegment() throws {
    var random = SeededRandom(seed: Self.seed)
    let good = try SearchFixture()
    try good.fill(300, &random)
    try good.store.close()
    var files = good.disk.contents
    let path = files.keys.filter { $0.hasSuffix(".seg") }.sorted()[1]
    files[path]![files[path]!.count / 2] ^= 1
    let log = try SearchFixture(files)
    try log.index()
    #expect(log.indexPaths.count == log.segmentCount - 2)
    #expect(log.logs.contain("could not be built"))
    let first = UInt64(path.suffix(24).dropLast(4))!
    let stretch = try log.store.candidates(in: first..<first + 3, for: SearchTerms(RecordFilter(agents: ["nobody"])), backwards: false)
    #expect(stretch.start.sequence == first && stretch.end == first + 3)
    try log.store.close()
  }
}
