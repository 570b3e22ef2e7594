import AuditLog
import Foundation
import SegmentStore
import Testing

@Suite final class FaultTests {
  let fixture = StoreFixture()
  let faults = FaultyFileSystem()

  init() { fixture.fileSystem = faults }

  @Test("a failed sync is final: no second try, no more appends, and reads go on up to what was durable")
  func failedSync() throws {
    let store = try fixture.open()
    try store.append(3)
    let records = try store.records()
    faults.fail(.init(call: "fdatasync", path: ".seg"))
    let error = try storeError { try store.append(2) }
    #expect(error.code == .failed && error.message.contains("fdatasync"), "\(error)")
    let calls = (faults.count("fdatasync"), faults.count("pwritev"))
    for _ in 0..<3 { #expect(try storeError { try store.append(2) }.message == error.message) }
    #expect(calls == (faults.count("fdatasync"), faults.count("pwritev")))
    #expect(store.status.appendFailure?.code == .failed)
    #expect(store.nextSequence == 3)
    #expect(try store.records() == records)
    try store.close()
    #expect(calls.0 == faults.count("fdatasync"))
  }

  @Test("a full disk stores nothing, and appends go on when there is room again", arguments: [0, 1, 39, 100, 300], [ENOSPC, EDQUOT])
  func fullDisk(shortBytes: Int, number: Int32) throws {
    let store = try fixture.open()
    try store.append(2)
    if shortBytes > 0 {
      faults.fail(.init(call: "pwritev", path: ".seg", shortBytes: shortBytes, isShortOnly: true))
    }
    faults.fail(.init(call: "pwritev", path: ".seg", error: number, once: false))
    for _ in 0..<2 {
      let error = try storeError { try store.append(6, textBytes: 100) }
      #expect(error.code == .full && error.message.contains("free space"), "\(error)")
    }
    #expect(store.status.appendFailure?.code == .full)
    #expect(store.nextSequence == 2)
    faults.heal()
    try store.append(1)
    #expect(store.status.appendFailure == nil)
    let records = try store.records()
    #expect(records.count == 3)
    let reopened = try reopen(dropping: store)
    #expect(try reopened.records() == records)
    #expect(reopened.status.tornBytes == 0)
  }

  /// Opens the files as a dead process leaves them: a copy, since the store's lock is still held.
  private func reopen(dropping store: SegmentStore) throws -> SegmentStore {
    let files = try fixture.snapshot()
    try store.close()
    try fixture.restore(files)
    return try fixture.open()
  }

  @Test("what a commit without room left behind is cut by recovery, or by the next append when it could not be cut at once")
  func litter() throws {
    for appendsBefore in [false, true] {
      let store = try fixture.open()
      try store.append(2)
      let records = try store.records()
      faults.fail(.init(call: "pwritev", path: ".seg", shortBytes: 500, isShortOnly: true))
      faults.fail(.init(call: "pwritev", path: ".seg", error: ENOSPC))
      faults.fail(.init(call: "ftruncate", path: ".seg", error: EIO))
      #expect(try storeError { try store.append(6, textBytes: 200) }.code == .full)
      if appendsBefore { try store.append(1) }
      let after = try store.records()
      let reopened = try reopen(dropping: store)
      #expect(reopened.status.tornBytes == (appendsBefore ? 0 : 500))
      #expect(try reopened.records() == after)
      #expect(after.count == records.count + (appendsBefore ? 1 : 0))
      try reopened.close()
    }
  }

  @Test("no room for the zeros ahead is no reason to refuse a commit")
  func noRoomForZeros() throws {
    let store = try fixture.open()
    let commit = 39 + RecordFixture.records(0..<2, receivedAt: SegmentStore.time(0)).count
    for extra in [0, 5] {
      faults.fail(.init(call: "pwritev", path: ".seg", shortBytes: commit + extra, isShortOnly: true))
      faults.fail(.init(call: "pwritev", path: ".seg", error: ENOSPC))
      try store.append(2)
      faults.heal()
    }
    #expect(try reopen(dropping: store).records().count == 4)
  }

  @Test("short writes are continued")
  func shortWrites() throws {
    let store = try fixture.open()
    for shortBytes in [1, 38, 39, 40, 100] {
      faults.fail(.init(call: "pwritev", path: ".seg", shortBytes: shortBytes, isShortOnly: true))
      faults.fail(.init(call: "pwritev", path: ".seg", shortBytes: 1, isShortOnly: true))
      try store.append(3)
    }
    let records = try store.records()
    #expect(records.count == 15)
    #expect(try reopen(dropping: store).records() == records)
  }

  @Test(
    "no room while a segment is begun stores nothing; there is a new attempt with the next append",
    arguments: ["open", "pwritev", "rename", "ftruncate"])
  func fullWhileRolling(call: String) throws {
    let store = try fixture.open()
    while store.status.bytes < 3600 { try store.append(2) }
    let before = try store.records()
    faults.fail(.init(call: call, path: call == "ftruncate" ? ".seg" : ".seg.new", error: ENOSPC))
    #expect(try storeError { try store.append(2, textBytes: 500) }.code == .full)
    #expect(try store.records() == before)
    #expect(try fixture.segments().count == 1)
    try store.append(2, textBytes: 500)
    #expect(try fixture.segments().count == 2)
    #expect(try reopen(dropping: store).records().count == before.count + 2)
  }

  @Test("a failed index costs nothing but the index")
  func failedIndex() throws {
    faults.fail(.init(call: "open", path: "/index/", error: ENOSPC, once: false))
    let records = try fixture.fill(60)
    #expect(records.count == 120)
    let store = try fixture.open()
    #expect(try store.records(from: 3).count == 117)
    faults.heal()
  }

  @Test(
    "whatever call fails once, at whatever time: what was acknowledged is there afterwards, in order, with the last attempt or without",
    arguments: ["open", "mkdir", "opendir", "stat", "fstat", "flock", "pwritev", "fsync", "fdatasync", "ftruncate", "rename", "pread"],
    [EIO, ENOSPC, EINTR])
  func everyCallFails(call: String, number: Int32) throws {
    var after = 0
    while true {
      try fixture.restore([:])
      let faults = FaultyFileSystem(syncs: false)
      fixture.fileSystem = faults
      faults.fail(.init(call: call, path: "", after: after, error: number, shortBytes: call == "pwritev" ? after % 200 : nil))
      var acknowledged: [[UInt8]] = []
      var attempted = acknowledged
      do {
        let store = try fixture.open()
        for number in 0..<14 {
          let first = store.nextSequence
          let records = (first..<first + 2).map {
            RecordFixture.records($0..<$0 + 1, receivedAt: SegmentStore.time(UInt64(number)) + 1, textBytes: 50 * number)
          }
          // After an append that failed, nothing more gets to the disk.
          let hasFailed = store.status.appendFailure?.code == .failed
          if !hasFailed { attempted = acknowledged + records }
          do {
            try store.append(Array(records.joined()), count: 2, first: first, receivedAt: SegmentStore.time(UInt64(number)) + 1)
            #expect(!hasFailed)
            acknowledged = attempted
          } catch let error as StoreError where error.code == .full || error.code == .failed {
            if error.code == .full { attempted = acknowledged }
            #expect(store.nextSequence == UInt64(acknowledged.count))
          }
          do { #expect(try store.records() == acknowledged) } catch let error as StoreError where error.code == .unusable {}
        }
        if after % 2 == 0 { try store.close() }
      } catch let error as StoreError {
        #expect([.unusable, .failed].contains(error.code), "\(call) \(after): \(error)")
      }
      let struck = !faults.struck.isEmpty
      faults.heal()
      let found = try fixture.open().records()
      #expect(found == acknowledged || found == attempted, "\(call) number \(after): \(found.count) of \(acknowledged.count)")
      if !struck { break }
      after += 1
    }
    #expect(after > (["open", "pwritev", "fsync", "fdatasync", "pread"].contains(call) ? 10 : 0))
  }
}
