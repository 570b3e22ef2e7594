import AuditLog
import Foundation
import SegmentStore
import Synchronization
import Testing

@Suite final class AppendReadTests {
  let fixture = StoreFixture()

  @Test("records come back as they went in, across segments and after reopening")
  func roundTrip() throws {
    var expected: [[UInt8]] = []
    for round in 0..<3 {
      let store = try fixture.open()
      #expect(store.nextSequence == UInt64(expected.count))
      #expect(store.status.tornBytes == 0)
      for number in 0..<40 {
        let first = store.nextSequence
        let count = 1 + number % 4
        for sequence in first..<first + UInt64(count) {
          expected.append(
            RecordFixture.records(sequence..<sequence + 1, receivedAt: SegmentStore.time(first), textBytes: number * 3))
        }
        try store.append(count, textBytes: number * 3)
      }
      #expect(try store.records() == expected)
      if round != 1 { try store.close() }
    }
    #expect(try fixture.segments().count > 3)
    let store = try fixture.open()
    #expect(store.start.nextSequence == UInt64(expected.count))
    #expect(store.start.lastReceivedAt > SegmentStore.time(UInt64(expected.count) - 5))
    for (sequence, record) in expected.enumerated() {
      #expect(try store.records(from: UInt64(sequence), before: UInt64(sequence) + 1) == [record])
    }
    for size in [1, 66, 67, 68, 200, 5000, 100_000] { #expect(try store.records(bufferBytes: size) == expected) }
  }

  @Test("a seek finds any sequence without reading what is before, and any time")
  func seek() throws {
    let store = try fixture.open()
    for number in 0..<60 { try store.append(1 + number % 3) }
    let all = try store.records()
    let times = all.map { $0.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 14, as: UInt64.self) } }
    for reopened in [false, true] {
      if reopened { try store.close() }
      let store = reopened ? try fixture.open() : store
      for sequence in all.indices.reversed() { #expect(try store.records(from: UInt64(sequence)).count == all.count - sequence) }
      for time in UInt64(0)...(times.last! + 2) {
        let expected = times.firstIndex { $0 >= time } ?? all.count
        #expect(try store.sequence(receivedAtOrAfter: time) == UInt64(expected), "time \(time)")
      }
    }
  }

  @Test("a read ends before the given end, and says end where there is nothing")
  func ends() throws {
    let store = try fixture.open()
    #expect(try store.records().isEmpty)
    try store.append(5)
    #expect(try store.records(from: 1, before: 3).count == 2)
    #expect(try store.records(from: 3, before: 3).isEmpty)
    #expect(try store.records(from: 5).isEmpty)
    #expect(try store.records(from: 50).isEmpty)
  }

  @Test("a read says exactly how large a buffer the next record needs")
  func neededBytes() throws {
    fixture.configuration.segmentBytes = 1 << 20
    let store = try fixture.open()
    try store.append(2, textBytes: 30_000)
    let record = try store.records()[0].count
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: record + 39, alignment: 16)
    defer { buffer.deallocate() }
    for size in [0, 1, 38, 39, 40, 66, record, record + 38] {
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<size])
      guard case .bufferTooSmall(let needed) = try store.read(from: ReadPosition(sequence: 0), before: .max, into: part) else {
        Issue.record("\(size) bytes were enough")
        continue
      }
      #expect(needed == record + 39)
    }
    guard case .records(let range, 1, let next) = try store.read(from: ReadPosition(sequence: 0), before: .max, into: buffer) else {
      Issue.record("the buffer was not enough")
      return
    }
    #expect(range == 0..<record + 39)
    #expect(next.sequence == 1)
  }

  @Test("a commit larger than a segment is stored whole")
  func largeCommit() throws {
    let store = try fixture.open()
    try store.append(3)
    try store.append(200, textBytes: 100)
    try store.append(1)
    #expect(try fixture.segments() == [0, 3, 203])
    try store.close()
    #expect(try fixture.open().records().count == 204)
  }

  @Test("a new segment keeps the state of the sequencer, and an opened store returns it")
  func state() throws {
    let store = try fixture.open()
    #expect(store.start.state == [] && store.start.stateSequence == 0)
    try store.append(3, textBytes: 500, state: [1])
    #expect(try fixture.segments() == [0])
    try store.append(20, textBytes: 500, state: [2, 3])
    try store.close()
    let start = try fixture.open().start
    #expect(start.state == [2, 3])
    #expect(start.stateSequence == 3)
    #expect(start.nextSequence == 23)
    #expect(start.lastReceivedAt == SegmentStore.time(3))
    #expect(start.logID == store.start.logID)
  }

  @Test("readers that run beside the appending thread see every record once, in order, and only durable ones")
  func concurrentReads() async throws {
    fixture.configuration.segmentBytes = 20_000
    let store = try fixture.open()
    let total: UInt64 = 1200
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        while store.nextSequence < total { try store.append(min(7, Int(total - store.nextSequence))) }
      }
      for bufferBytes in [300, 5000, 60_000] {
        group.addTask {
          var sequence: UInt64 = 0
          while sequence < total {
            let durable = store.nextSequence
            let records = try store.records(from: sequence, before: durable, bufferBytes: bufferBytes)
            #expect(UInt64(records.count) == durable - sequence)
            sequence = durable
            await Task.yield()
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(try store.records().count == Int(total))
  }

  @Test("a commit that breaks the rules is refused and leaves the store as it was")
  func invalidCommits() throws {
    fixture.configuration.maxRecordBytes = 300
    let store = try fixture.open()
    try store.append(2)
    let good = RecordFixture.record(2, receivedAt: 5000)
    var flipped = good
    flipped[40] ^= 1
    let cases: [(bytes: [UInt8], count: Int, first: UInt64, time: UInt64)] = [
      (good, 1, 3, 5000), (good, 1, 1, 5000), (good, 2, 2, 5000), (good, 1, 2, 5001), (good, 1, 2, 1), (flipped, 1, 2, 5000),
      (Array(good.dropLast()), 1, 2, 5000), ([], 0, 2, 5000), (good + [0], 1, 2, 5000),
      (RecordFixture.records(2..<3, receivedAt: 5000, textBytes: 300), 1, 2, 5000),
    ]
    for (bytes, count, first, time) in cases {
      let error = try storeError { try store.append(bytes, count: count, first: first, receivedAt: time) }
      #expect(error.code == .invalid, "\(error)")
    }
    try store.append(good, count: 1, first: 2, receivedAt: 5000)
    #expect(try store.records().count == 3)
    #expect(store.status.appendFailure == nil)
  }

  @Test("a directory that another store has is refused, and free again after it was closed or dropped")
  func lock() throws {
    var store: SegmentStore? = try fixture.open()
    try store!.append(1)
    let error = try storeError { _ = try fixture.open() }
    #expect(error.code == .locked)
    #expect(error.message.contains("\(getpid())"), "\(error)")
    try store!.close()
    try store!.close()
    #expect(try storeError { try store!.append(1) }.code == .closed)
    #expect(try storeError { _ = try store!.records() }.code == .closed)
    #expect(try storeError { _ = try store!.sequence(receivedAtOrAfter: 0) }.code == .closed)
    store = try fixture.open()
    store = nil
    #expect(try fixture.open().nextSequence == 1)
  }

  @Test("files are for their owner alone")
  func permissions() throws {
    let store = try fixture.open()
    for _ in 0..<30 { try store.append(3) }
    let files = try FileManager.default.subpathsOfDirectory(atPath: fixture.path)
    #expect(files.contains { $0.hasSuffix(".idx") })
    for name in [""] + files {
      let attributes = try FileManager.default.attributesOfItem(atPath: fixture.path + "/" + name)
      let isDirectory = attributes[.type] as? FileAttributeType == .typeDirectory
      #expect(attributes[.posixPermissions] as? Int == (isDirectory ? 0o700 : 0o600), "\(name)")
    }
  }
}
