import AuditLog
import AuditSchema
import Logging
import SegmentStore
import Testing
import TestSupport

/// Where the machine's clock was set back, time begins anew, in a segment whose header says so.
@Suite
struct StretchTests {
  let fixture = StoreFixture(segmentBytes: 900, zeroAheadBytes: 256)

  /// Appends a commit of one record.
  private func append(_ store: SegmentStore, at time: UInt64, stepsBack: Bool = false) throws {
    let first = store.nextSequence
    try store.append(
      RecordFixture.record(first, receivedAt: time), count: 1, first: first, receivedAt: time, stepsBack: stepsBack)
  }

  private func check(_ store: SegmentStore, _ times: [UInt64]) throws {
    #expect(store.nextSequence == UInt64(times.count))
    for begin in Set(times).union([0, 1]).sorted() {
      for length: UInt64 in [1, 7, 40, .max - begin] {
        let wanted = begin..<begin + length
        let found = try store.received(in: wanted)
        #expect(found.flatMap { Array($0) } == times.indices.filter { wanted.contains(times[$0]) }.map { UInt64($0) }, "\(wanted)")
        #expect(found.allSatisfy { !$0.isEmpty })
      }
      #expect(try store.sequence(receivedAtOrAfter: begin) == UInt64(times.firstIndex { $0 >= begin } ?? times.count))
    }
  }

  @Test("a search by time looks into every stretch, whatever the clock did, and after every start", arguments: 0..<12)
  func everyStretch(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var store = try fixture.open()
    var times: [UInt64] = []
    var time: UInt64 = 100
    for _ in 0..<80 {
      let stepsBack = random.oneIn(6)
      time = stepsBack ? max(1, time - min(time, UInt64(random.below(200)))) : time + 1 + UInt64(random.below(20))
      try append(store, at: time, stepsBack: stepsBack)
      times.append(time)
      if random.oneIn(15) {
        if random.oneIn(2) { try store.close() }
        store = try { () throws in
          let opened = try fixture.reopen(&store)
          #expect(opened.start.lastReceivedAt == times.last)
          return opened
        }()
      }
    }
    try check(store, times)
    let inspection = try LogInspection(directory: fixture.path)
    #expect(inspection.problems.isEmpty, "\(inspection.problems)")
    try store.close()
    let verification = try LogVerification(directory: fixture.path, checkpoints: nil, keys: [], brought: [], progress: { _ in })
    // The records of this test say nothing of the clock, and have no body hash: what matters is that no header is found wrong.
    #expect(verification.audit.findings.allSatisfy { !$0.sentence.contains("stretch") && !$0.sentence.hasPrefix("its header") })
  }

  @Test("a commit whose time is not later is refused unless the clock was set back")
  func unsaid() throws {
    let store = try fixture.open()
    try append(store, at: 50)
    #expect(try storeError { try append(store, at: 50) }.code == .invalid)
    #expect(try storeError { try append(store, at: 0, stepsBack: true) }.code == .invalid)
    try append(store, at: 50, stepsBack: true)
    // Later in any case: no new stretch.
    try append(store, at: 60, stepsBack: true)
    #expect(try fixture.segments() == [0, 1])
    try check(store, [50, 50, 60])
  }

  @Test("a segment without a record is made again when the clock was set back before its first one")
  func emptySegment() throws {
    var store = try fixture.open()
    var times: [UInt64] = []
    while try fixture.segments().count < 3 {
      times.append(UInt64(times.count) * 10 + 10)
      try append(store, at: times.last!)
    }
    try store.close()
    // As after a crash between a new segment and its first commit.
    let newest = try fixture.segments().last!
    try fixture.edit(fixture.segment(newest)) { bytes in
      if let end = bytes.withUnsafeBytes({ SegmentHeader.encodedBytes(startingWith: $0) }) { bytes.removeSubrange(end...) }
    }
    times.removeLast()
    try fixture.removeTree()
    store = try fixture.open()
    #expect(store.start.lastReceivedAt == times.last)
    try check(store, times)
    for time: UInt64 in [5, 8] {
      try append(store, at: time, stepsBack: true)
      times.append(time)
    }
    #expect(try fixture.segments().last == newest)
    try check(store, times)
    try store.close()
    store = try fixture.open()
    try check(store, times)
    #expect(try LogInspection(directory: fixture.path).problems.isEmpty)
  }

  @Test("a header names the stretch of its segment in one form only")
  func header() {
    let plain = SegmentHeader(
      firstSequence: 4, logID: Array(0..<16), nonce: Array(0xF0...0xFF), previousReceivedAt: 9, previousBytes: 100, state: [],
      tree: [UInt8](repeating: 1, count: 32))
    for stretch: UInt64 in [0, 1, 4] {
      var header = plain
      header.stretch = stretch
      #expect(header.encoded().withUnsafeBytes { SegmentHeader(encoded: $0) } == header)
      #expect(header.encoded().count == plain.encoded().count + (stretch == 0 ? 0 : 9))
      #expect(header.receivedAfter == (stretch == 4 ? 0 : 9))
    }
    var later = plain
    later.stretch = 5
    #expect(later.encoded().withUnsafeBytes { SegmentHeader(encoded: $0) } == nil)
  }
}

extension StoreFixture {
  /// Lets a store go, closed or not, and opens the log again.
  func reopen(_ store: inout SegmentStore) throws -> SegmentStore {
    let placeholder = StoreFixture()
    store = try placeholder.open()
    return try open()
  }

  /// The tree's files, which are made again.
  func removeTree() throws { try remove("\(path)/tree") }
}
