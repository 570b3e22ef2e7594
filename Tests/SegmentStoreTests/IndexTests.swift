import AuditLog
import Foundation
import SegmentStore
import Testing

@Suite final class IndexTests {
  let fixture = StoreFixture()

  @Test("an index that is missing, damaged, cut or another segment's is made again, and seeks find what they should")
  func rebuilt() throws {
    fixture.fileSystem = FaultyFileSystem(syncs: false)
    let records = try fixture.fill(60)
    let segments = try fixture.segments()
    let path = fixture.index(0)
    try fixture.remove(path)
    _ = try fixture.open().records(from: 1)
    let content = try fixture.bytes(path)
    let other = try fixture.bytes(fixture.index(segments[1]))
    var cases: [[UInt8]?] = [nil, [], other, content + [0], Array(content.dropLast(24)), [UInt8](repeating: 0, count: content.count)]
    for offset in content.indices {
      var flipped = content
      flipped[offset] ^= 0x10
      cases.append(flipped)
      cases.append(Array(content[..<offset]))
    }
    for damaged in cases {
      if let damaged { try fixture.write(damaged, to: path) } else { try fixture.remove(path) }
      let store = try fixture.open()
      #expect(try store.records(from: 7, before: 9) == Array(records[7..<9]))
      #expect(try store.sequence(receivedAtOrAfter: SegmentStore.time(6)) == 6)
      #expect(try fixture.bytes(path) == content)
      try store.close()
    }
  }

  @Test("an index of the same segment at another size is stale")
  func stale() throws {
    let store = try fixture.open()
    try store.append(4, textBytes: 300)
    let early = try fixture.snapshot()
    try store.append(4, textBytes: 300)
    try store.append(8, textBytes: 300)
    try store.close()
    let index = try fixture.bytes(fixture.index(0))
    try fixture.restore(early)
    try fixture.write(index, to: fixture.index(0))
    let reopened = try fixture.open()
    try reopened.append(1, textBytes: 3000)
    try reopened.append(1, textBytes: 3000)
    try reopened.close()
    try fixture.write(index, to: fixture.index(0))
    #expect(try fixture.open().records(from: 3, before: 4).count == 1)
    #expect(try fixture.bytes(fixture.index(0)) != index)
  }

  @Test("records before damage are still found when the index has to be made again")
  func damagedSegment() throws {
    let records = try fixture.fill(60)
    try fixture.remove(fixture.index(0))
    let (commitHeaders, _) = try fixture.commits(in: fixture.segment(0))
    try fixture.edit(fixture.segment(0)) { $0[commitHeaders[5] + 50] ^= 1 }
    let store = try fixture.open()
    #expect(try store.records(from: 7, before: 10) == Array(records[7..<10]))
    let error = try storeError { _ = try store.records(from: 7) }
    #expect(error.code == .damaged && error.path == fixture.segment(0), "\(error)")
    #expect(error.offset == UInt64(commitHeaders[5] + 39), "\(error)")
    #expect(!FileManager.default.fileExists(atPath: fixture.index(0)))
  }
}
