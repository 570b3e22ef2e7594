import AuditLog
import Foundation
import SegmentStore
import Testing

@Suite final class DamageTests {
  let fixture = StoreFixture(segmentBytes: 1000)

  /// Opens a log of several segments so that a read of the first one always reads its header again.
  private func openLog(_ commits: Int = 12) throws -> (store: SegmentStore, records: [[UInt8]], second: UInt64) {
    fixture.fileSystem = FaultyFileSystem(syncs: false)
    fixture.configuration.cachedFiles = 1
    let records = try fixture.fill(commits)
    let segments = try fixture.segments()
    #expect(segments.count >= 3)
    return (try fixture.open(), records, segments[1])
  }

  @Test("every single bit that flips in a sealed segment is found when it is read, and nothing wrong is served before it")
  func everyBit() throws {
    let (store, records, second) = try openLog()
    let path = fixture.segment(0)
    let size = try fixture.bytes(path).count
    let handle = try #require(FileHandle(forUpdatingAtPath: path))
    let content = try fixture.bytes(path)
    let (commitHeaders, _) = try fixture.commits(in: path)
    let recordBytes = (commitHeaders[1] - commitHeaders[0] - 39) / 2
    /// How many records of the segment lie before the damage and its commit header.
    func intact(before offset: Int) -> Int {
      guard let commit = commitHeaders.lastIndex(where: { $0 <= offset }) else { return 0 }
      return commit * 2 + (offset - commitHeaders[commit] - 39 >= recordBytes ? 1 : 0)
    }
    #expect(commitHeaders.allSatisfy { $0 == commitHeaders[0] || ($0 - commitHeaders[0]) % (39 + 2 * recordBytes) == 0 })
    for bit in 0..<size * 8 {
      try handle.seek(toOffset: UInt64(bit / 8))
      try handle.write(contentsOf: Data([content[bit / 8] ^ 1 << UInt8(bit % 8)]))
      _ = try store.records(from: second, before: second + 1)
      var served: [[UInt8]] = []
      do {
        try store.read(into: &served)
        Issue.record("bit \(bit) flipped and nobody saw it")
      } catch let error as StoreError {
        #expect(error.code == .damaged && error.path == path, "bit \(bit): \(error)")
        #expect(error.offset! <= UInt64(bit / 8), "bit \(bit): \(error)")
      }
      #expect(served == Array(records[..<intact(before: bit / 8)]), "bit \(bit)")
      try handle.seek(toOffset: UInt64(bit / 8))
      try handle.write(contentsOf: Data([content[bit / 8]]))
    }
    _ = try store.records(from: second, before: second + 1)
    #expect(try store.records() == records)
  }

  @Test("a sealed segment that is cut at any byte, or goes on behind its end, is found when it is read")
  func everyLength() throws {
    let (store, records, second) = try openLog()
    let path = fixture.segment(0)
    let content = try fixture.bytes(path)
    for length in 0..<content.count {
      try fixture.write(Array(content[..<length]), to: path)
      _ = try store.records(from: second, before: second + 1)
      var served: [[UInt8]] = []
      let error = try storeError { try store.read(into: &served) }
      #expect(error.code == .damaged && error.path == path, "\(length) bytes: \(error)")
      #expect(served == Array(records[..<served.count]))
    }
    try store.close()
    for extra in [[0], [0x12], content] as [[UInt8]] {
      try fixture.write(content + extra, to: path)
      let reopened = try fixture.open()
      var served: [[UInt8]] = []
      let error = try storeError { try reopened.read(into: &served) }
      #expect(error.code == .damaged && error.path == path && error.offset == UInt64(content.count), "\(error)")
      #expect(served == Array(records[..<served.count]))
    }
  }

  @Test("a sealed segment that is missing is found when it is read")
  func missingSegment() throws {
    let (store, _, second) = try openLog(30)
    try store.close()
    try fixture.remove(fixture.segment(second))
    let reopened = try fixture.open()
    let error = try storeError { _ = try reopened.records() }
    #expect(error.code == .damaged, "\(error)")
  }

  @Test("two sealed segments of one log that change places are found")
  func swappedSegments() throws {
    let (store, _, second) = try openLog(30)
    try store.close()
    let first = try fixture.bytes(fixture.segment(0))
    try fixture.write(try fixture.bytes(fixture.segment(second)), to: fixture.segment(0))
    try fixture.write(first, to: fixture.segment(second))
    let reopened = try fixture.open()
    #expect(try storeError { _ = try reopened.records() }.code == .damaged)
    #expect(try storeError { _ = try reopened.records(from: second) }.code == .damaged)
  }
}
