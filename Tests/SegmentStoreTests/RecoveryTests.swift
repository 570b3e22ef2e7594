import AuditLog
import AuditSchema
import Foundation
import Logging
import SegmentStore
import Testing

/// One test for each row of the tables in FORMAT.md.
@Suite final class RecoveryTests {
  let fixture = StoreFixture()

  init() { fixture.fileSystem = FaultyFileSystem(syncs: false) }

  private func openFails(_ code: StoreError.Code, _ words: String, path: String, offset: Int? = nil) throws {
    let before = try fixture.snapshot()
    let error = try storeError { _ = try fixture.open() }
    #expect(error.code == code, "\(error)")
    #expect(error.path == path, "\(error)")
    #expect(error.offset == offset.map(UInt64.init), "\(error)")
    #expect(error.message.contains(words), "\(error)")
    #expect(try fixture.snapshot() == before, "a refused start changed a file")
  }

  /// Opens, expects `records` and a reported cut of exactly `torn` (`nil`: none), then appends and opens again.
  private func openKeeps(_ records: [[UInt8]], torn: [UInt8]?) throws {
    var store = try fixture.open()
    #expect(try store.records() == records)
    #expect(store.nextSequence == UInt64(records.count))
    #expect(store.status.tornBytes == UInt64(torn?.count ?? 0))
    #expect((store.status.tornFile == nil) == (torn == nil))
    if let torn, let file = store.status.tornFile {
      #expect(try fixture.bytes(file) == torn)
      let report = try #require(
        try JSONSerialization.jsonObject(with: Data(try fixture.bytes(file.replacing(".bin", with: ".json")))) as? [String: Any])
      #expect(report["bytes"] as? Int == torn.count)
      #expect(report["next_sequence"] as? Int == records.count)
    } else {
      #expect(try fixture.torn().isEmpty)
    }
    try store.append(1)
    let more = try store.records()
    #expect(more.dropLast() == records[...])
    try store.close()
    store = try fixture.open()
    #expect(try store.records() == more)
    #expect(store.status.tornBytes == 0)
  }

  // MARK: The directory

  @Test("D1: a missing directory becomes a new log; one below a missing directory is refused")
  func newLog() throws {
    try openKeeps([], torn: nil)
    let path = fixture.path + "/a/b"
    let error = try storeError { _ = try SegmentStore.open(directory: path, logger: .init(label: "test")) }
    #expect(error.code == .unusable && error.message.contains("make the directory above it first"), "\(error)")
  }

  @Test("D2: a first start that was interrupted begins again")
  func interruptedStart() throws {
    let first = try fixture.open().start.logID
    try fixture.remove(fixture.path + "/log.json")
    try fixture.write([1, 2], to: fixture.path + "/log.json.new")
    try fixture.write([3], to: fixture.segment(0) + ".new")
    #expect(try fixture.open().start.logID != first)
    try fixture.remove(fixture.path + "/log.json")
    try fixture.remove(fixture.segment(0))
    try openKeeps([], torn: nil)
  }

  @Test("D3: records without log.json stop the start")
  func missingIdentity() throws {
    try fixture.fill(2)
    try fixture.remove(fixture.path + "/log.json")
    try openFails(.unusable, "restore the file", path: fixture.path + "/log.json")
  }

  @Test("D4: a log.json of another format, or none, stops the start")
  func wrongIdentity() throws {
    try fixture.fill(2)
    for (text, code) in [
      ("", .damaged), ("{", .damaged), ("{\"format\":2}", .unusable), ("{\"format\":1,\"log_id\":\"12\"}", StoreError.Code.damaged),
    ] {
      try fixture.write(Array(text.utf8), to: fixture.path + "/log.json")
      try openFails(code, "log.json", path: fixture.path + "/log.json")
    }
  }

  @Test("D5: log.json without a segment stops the start")
  func noSegments() throws {
    try fixture.fill(2)
    try fixture.remove(fixture.segment(0))
    try openFails(.damaged, "holds no segment", path: fixture.path + "/segments")
  }

  @Test("D6: a missing oldest segment stops the start")
  func missingOldest() throws {
    try fixture.fill(40)
    try fixture.remove(fixture.segment(0))
    try openFails(.damaged, "is missing", path: fixture.segment(0))
  }

  // MARK: Between segments

  @Test("S1: a segment whose header was not yet on disk is removed")
  func unfinishedSegment() throws {
    let records = try fixture.fill(4)
    for content in [[], [0x1A], [UInt8](repeating: 0, count: 600)] as [[UInt8]] {
      try fixture.write(content, to: fixture.segment(8) + ".new")
      #expect(try fixture.open().records() == records)
      #expect(!FileManager.default.fileExists(atPath: fixture.segment(8) + ".new"))
    }
  }

  @Test("S2: a newest segment without a commit is an empty newest segment")
  func emptyNewest() throws {
    let records = try rollWithoutCommit()
    #expect(try fixture.segments().count == 2)
    let start = try fixture.open().start
    #expect(start.lastReceivedAt == SegmentStore.time(UInt64(records.count) - 2))
    #expect(start.state == [7])
    #expect(try fixture.open().sequence(receivedAtOrAfter: start.lastReceivedAt + 1) == UInt64(records.count))
    try openKeeps(records, torn: nil)
  }

  /// Fills a segment, and begins the next one with an append whose own write fails.
  private func rollWithoutCommit() throws -> [[UInt8]] {
    let faults = FaultyFileSystem(syncs: false)
    fixture.fileSystem = faults
    let store = try fixture.open()
    while try fixture.bytes(fixture.segment(0)).count < 4096 || store.status.bytes < 4096 - 200 { try store.append(2) }
    let records = try store.records()
    faults.fail(.init(call: "pwritev", path: ".seg", after: 1))
    _ = try storeError { try store.append(2, textBytes: 400, state: [7]) }
    faults.heal()
    return records
  }

  @Test("S3: a newest segment without a whole header stops the start")
  func brokenHeader() throws {
    try fixture.fill(40)
    let newest = try #require(try fixture.segments().last)
    let content = try fixture.bytes(fixture.segment(newest))
    for length in 0..<StoreFixture.headerBytes {
      try fixture.write(Array(content[..<length]), to: fixture.segment(newest))
      try openFails(.damaged, "header", path: fixture.segment(newest), offset: 0)
    }
    for bit in 0..<StoreFixture.headerBytes * 8 {
      var flipped = content
      flipped[bit / 8] ^= 1 << (bit % 8)
      try fixture.write(flipped, to: fixture.segment(newest))
      try openFails(.damaged, "header", path: fixture.segment(newest), offset: 0)
    }
  }

  @Test("S4: a newest segment of another log, or under another name, stops the start")
  func foreignSegment() throws {
    try fixture.fill(40)
    let newest = try #require(try fixture.segments().last)
    try FileManager.default.copyItem(atPath: fixture.segment(newest), toPath: fixture.segment(newest + 1))
    try openFails(.damaged, "first sequence", path: fixture.segment(newest + 1), offset: 0)
    try fixture.remove(fixture.segment(newest + 1))
    let other = StoreFixture()
    try other.fill(1)
    try other.remove(other.segment(0))
    try FileManager.default.copyItem(atPath: fixture.segment(0), toPath: other.segment(0))
    let error = try storeError { _ = try other.open() }
    #expect(error.code == .damaged && error.message.contains("another log"), "\(error)")
  }

  @Test("S5: zeros behind the segment before the newest are cut")
  func uncutPredecessor() throws {
    let records = try fixture.fill(40)
    let path = try fixture.segment(#require(fixture.segments().dropLast().last))
    let content = try fixture.bytes(path)
    try fixture.edit(path) { $0 += [UInt8](repeating: 0, count: 700) }
    #expect(try fixture.open().records() == records)
    #expect(try fixture.bytes(path) == content)
  }

  @Test("S6: anything else behind the segment before the newest stops the start")
  func longPredecessor() throws {
    try fixture.fill(40)
    let path = try fixture.segment(#require(fixture.segments().dropLast().last))
    let size = try fixture.bytes(path).count
    try fixture.edit(path) { $0 += [0, 0, 0, 9] }
    try openFails(.damaged, "follow the last record of the segment", path: path, offset: size + 3)
  }

  @Test("S7: a segment before the newest that is too short stops the start")
  func shortPredecessor() throws {
    try fixture.fill(40)
    let path = try fixture.segment(#require(fixture.segments().dropLast().last))
    let size = try fixture.bytes(path).count
    try fixture.edit(path) { $0.removeLast() }
    try openFails(.damaged, "next segment says", path: path, offset: size - 1)
  }

  // MARK: The end of the newest segment

  @Test("N1, N2: whole commits stay, with or without zeros behind them")
  func wholeCommits() throws {
    let records = try fixture.fill(5)
    let closed = try fixture.snapshot()
    try openKeeps(records, torn: nil)
    for zeros in [1, 38, 39, 5000] {
      try fixture.restore(closed)
      try fixture.edit(fixture.segment(0)) { $0 += [UInt8](repeating: 0, count: zeros) }
      try openKeeps(records, torn: nil)
    }
  }

  @Test("N3: a newest segment that is cut at any byte keeps its whole commits, and what was left of the next one is reported")
  func everyTruncation() throws {
    let records = try fixture.fill(5)
    let closed = try fixture.snapshot()
    let content = try fixture.bytes(fixture.segment(0))
    let (commitHeaders, end) = try fixture.commits(in: fixture.segment(0))
    #expect(end == content.count && commitHeaders.count == 5)
    for length in StoreFixture.headerBytes..<content.count {
      try fixture.restore(closed)
      try fixture.write(Array(content[..<length]), to: fixture.segment(0))
      let whole = commitHeaders.count { $0 != StoreFixture.headerBytes && $0 <= length }
      let rest = content[commitHeaders[whole]..<length]
      // A cut at a commit's end cannot be told from a log that never had more; a signed checkpoint tells.
      let torn = rest.reversed().drop { $0 == 0 }.count
      try openKeeps(Array(records[..<(whole * 2)]), torn: torn == 0 ? nil : Array(rest.prefix(torn)))
    }
  }

  @Test("N4: a last commit of which any 512-byte sectors are missing is cut")
  func everySectorLoss() throws {
    fixture.configuration.segmentBytes = 1 << 20
    let records = try fixture.fill(2, textBytes: 900)
    let closed = try fixture.snapshot()
    let content = try fixture.bytes(fixture.segment(0))
    let (commitHeaders, _) = try fixture.commits(in: fixture.segment(0))
    let sectors = Array(stride(from: commitHeaders[1] / 512 * 512, to: content.count, by: 512))
    for lost in 1..<(1 << sectors.count) {
      var torn = content
      for (number, sector) in sectors.enumerated() where lost >> number & 1 == 1 {
        for index in max(sector, commitHeaders[1])..<min(sector + 512, content.count) { torn[index] = 0 }
      }
      try fixture.restore(closed)
      try fixture.write(torn, to: fixture.segment(0))
      let rest = torn[commitHeaders[1]...]
      let kept = rest.reversed().drop { $0 == 0 }.count
      try openKeeps(Array(records[..<2]), torn: kept == 0 ? nil : Array(rest.prefix(kept)))
    }
  }

  @Test("N5, N6: a flipped bit in the last commit or in the space behind it is cut; in an earlier commit it stops the start")
  func everyByteFlipped() throws {
    let records = try fixture.fill(4)
    try fixture.edit(fixture.segment(0)) { $0 += [UInt8](repeating: 0, count: 64) }
    let before = try fixture.snapshot()
    let content = try fixture.bytes(fixture.segment(0))
    let (commitHeaders, end) = try fixture.commits(in: fixture.segment(0))
    for offset in StoreFixture.headerBytes..<content.count {
      var flipped = content
      flipped[offset] ^= 1 << UInt8(offset % 8)
      try fixture.restore(before)
      try fixture.write(flipped, to: fixture.segment(0))
      if offset >= end {
        try openKeeps(records, torn: Array(flipped[end...offset]))
      } else if offset >= commitHeaders[3] {
        try openKeeps(Array(records[..<6]), torn: Array(flipped[commitHeaders[3]..<end]))
      } else {
        let damaged = commitHeaders.last { $0 <= offset }!
        try openFails(.damaged, "acknowledged", path: fixture.segment(0), offset: damaged)
      }
    }
  }

  @Test("N7: a commit header inside a record's content is not taken for a commit")
  func forgedCommitHeader() throws {
    let store = try fixture.open()
    try store.append(1)
    let (commitHeaders, end) = try fixture.commits(in: fixture.segment(0))
    #expect(commitHeaders.count == 1)
    let commitHeader = try fixture.bytes(fixture.segment(0))[commitHeaders[0]..<commitHeaders[0] + 39]
    // The first commit header as it stands on disk, and what one at that very place would look like to somebody who does not know
    // the nonce, as the text of a record that is torn later.
    var guess = Array(commitHeader)
    guess[3] = 2
    let bytes = RecordFixture.record(1, receivedAt: 5000, content: RecordFixture.delimited(0x0A, Array(commitHeader) + guess))
    try store.append(bytes, count: 1, first: 1, receivedAt: 5000)
    try store.close()
    let content = try fixture.bytes(fixture.segment(0))
    var damaged = content
    damaged[end + 5] ^= 1
    #expect(damaged[(end + 1)...].contains(0x12))
    try fixture.write(damaged, to: fixture.segment(0))
    let kept = try fixture.open()
    #expect(kept.nextSequence == 1)
    #expect(kept.status.tornBytes == UInt64(content.count - end))
  }

  @Test("N8: the last commit is written again and synced before anybody sees it; when that fails the start does")
  func unsyncedCommit() throws {
    let faults = FaultyFileSystem()
    fixture.fileSystem = faults
    let store = try fixture.open()
    try store.append(2)
    faults.fail(.init(call: "fdatasync", path: ".seg"))
    #expect(try storeError { try store.append(2) }.code == .failed)
    #expect(store.nextSequence == 2)
    try store.close()
    let writes = faults.count("pwritev")
    let syncs = faults.count("fsync")
    faults.fail(.init(call: "fsync", path: ".seg"))
    #expect(try storeError { _ = try fixture.open() }.code == .unusable)
    let reopened = try fixture.open()
    #expect(reopened.nextSequence == 4)
    // Each start writes server.pid and the last commit.
    #expect(faults.count("pwritev") == writes + 4)
    #expect(faults.count("fsync") > syncs)
  }

  @Test("N9: without room to keep the torn end aside, nothing is cut and the start fails")
  func noRoomForTornEnd() throws {
    let faults = FaultyFileSystem()
    fixture.fileSystem = faults
    let records = try fixture.fill(3)
    try fixture.edit(fixture.segment(0)) { $0 += [1, 2, 3] }
    let content = try fixture.bytes(fixture.segment(0))
    // First the copy, then the report.
    for (call, after) in [("open", 0), ("pwritev", 0), ("fsync", 0), ("open", 1), ("pwritev", 1), ("fsync", 1)] {
      faults.fail(.init(call: call, path: "/torn/", after: after, error: ENOSPC))
      let error = try storeError { _ = try fixture.open() }
      #expect(error.code == .unusable && error.message.contains("free space"), "\(error)")
      #expect(try fixture.bytes(fixture.segment(0)) == content)
    }
    let store = try fixture.open()
    #expect(try store.records() == records)
    #expect(store.status.tornBytes == 3)
  }
}
