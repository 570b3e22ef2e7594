import AuditLog
import AuditSchema
import Foundation
import Logging
import SegmentStore
import Synchronization
import Testing

/// What holds at the moment when a commit is given to the store, and after the store refused it.
@Suite struct SequencerTests {
  @Test("when the store is given a commit, nobody has an answer, and nobody can see its records")
  func order() throws {
    let watched = try WatchedLog()
    let producer = try ProducerFixture(watched.log)
    let seen = Mutex<[UInt64]>([])
    watched.store.beforeAppend = { [log = watched.log, weak producer] first in
      #expect(producer?.answers == Int(first))
      #expect(log.nextSequence == first)
      #expect(log.tail.commits(from: first, maxBytes: 1 << 20).isEmpty)
      seen.withLock { $0.append(first) }
    }
    for number in 1...3 { _ = try producer.append([.numbered(number)], number: UInt64(number)) }
    #expect(seen.withLock { $0 } == [0, 1, 2])
    #expect(watched.log.tail.commits(from: 0, maxBytes: 1 << 20).map(\.firstSequence) == [0, 1, 2])
  }

  @Test("a commit that the store had no room for is refused, and its events may be sent again")
  func refused() throws {
    let watched = try WatchedLog()
    let producer = try ProducerFixture(watched.log)
    guard case .appended(first: 0) = try producer.append([.numbered(1)], number: 1) else {
      Issue.record("the first append was not stored")
      return
    }
    watched.store.failure = StoreError(.full, "no room")
    guard case .refused(let error) = try producer.append([.numbered(2), .numbered(3)], number: 2) else {
      Issue.record("an append was answered that was not stored")
      return
    }
    #expect(error.code == .storageFull && error.code.isRetryable)
    #expect(watched.log.tail.commits(from: 1, maxBytes: 1 << 20).isEmpty)
    watched.store.failure = nil
    #expect(producer.expected() == 2)
    guard case .appended(first: 1) = try producer.append([.numbered(2), .numbered(3)], number: 2) else {
      Issue.record("the events were not stored when they were sent again")
      return
    }
    #expect(try watched.log.readAll().compactMap(\.producerSequence) == [1, 2, 3])
  }

  @Test("what was sealed while the commit before it was refused takes that one's place")
  func sealedAhead() throws {
    let watched = try WatchedLog()
    let (first, other) = (try ProducerFixture(watched.log), try ProducerFixture(watched.log, producer: "q"))
    let (isStoring, isSealed, mayGoOn) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    let sealed = Mutex<[UInt64]>([])
    let stored = Mutex(0)
    watched.store.beforePrepare = { sequence in
      sealed.withLock { $0.append(sequence) }
      isSealed.signal()
    }
    watched.store.beforeAppend = { [store = watched.store] _ in
      let count = stored.withLock { stored in
        stored += 1
        return stored
      }
      store.failure = count == 1 ? StoreError(.full, "no room") : nil
      guard count == 1 else { return }
      isStoring.signal()
      mayGoOn.wait()
    }
    let refused = try first.submit([.large(1)], number: 1)
    isStoring.wait()
    isSealed.wait()
    // Sealed as if number 1 were stored.
    let ahead = try other.submit([.large(1)], number: 1)
    isSealed.wait()
    let follower = try first.submit([.large(2)], number: 2)
    mayGoOn.signal()
    guard case .refused(let error) = first.nextOutcome(refused), error.code == .storageFull,
      case .appended(first: 0) = other.nextOutcome(ahead),
      case .refused(let gap) = first.nextOutcome(follower), gap.code == .producerGap, gap.expectedProducerSequence == 1
    else {
      Issue.record("a commit that was refused left something behind")
      return
    }
    #expect(sealed.withLock { $0 } == [0, 1, 0])
    #expect(first.expected() == 1 && other.expected() == 2)
    #expect(try watched.log.readAll().map(\.sequence) == [0])
  }

  @Test("numbers of a commit under way are known, and an event that is sent again is answered when it is durable")
  func repeatedUnderWay() throws {
    let (isStoring, isTaken, mayGoOn) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    let watched = try WatchedLog(now: {
      isTaken.signal()
      return 1
    })
    let producer = try ProducerFixture(watched.log)
    watched.store.beforeAppend = { first in
      guard first == 0 else { return }
      isStoring.signal()
      mayGoOn.wait()
    }
    let original = try producer.submit([.large(1)], number: 1)
    isStoring.wait()
    isTaken.wait()
    let again = try producer.submit([.large(1)], number: 1)
    isTaken.wait()
    let next = try producer.submit([.large(2)], number: 2)
    mayGoOn.signal()
    // That nothing is answered before it is durable is seen where the answers arrive.
    guard case .appended(first: 0) = producer.nextOutcome(original),
      case .duplicate(stored: 1, lastSequence: 0, first: nil) = producer.nextOutcome(again),
      case .appended(first: 1) = producer.nextOutcome(next)
    else {
      Issue.record("an event was stored twice, or not at all")
      return
    }
    #expect(producer.expected() == 3)
  }

  @Test("the time of records goes on when the clock stands still or goes back")
  func time() throws {
    let clock = Mutex<[UInt64]>([50, 50, 10, 0, 60, 60])
    let watched = try WatchedLog(now: { clock.withLock { $0.removeFirst() } })
    let producer = try ProducerFixture(watched.log, producer: nil)
    for number in 0..<6 { _ = try producer.append([.numbered(number)], number: nil) }
    #expect(try watched.log.readAll().map(\.receivedAt) == [50, 51, 52, 53, 60, 61])
  }
}

/// A log whose store can be looked over the shoulder.
private final class WatchedLog {
  let store: WatchedStore
  let log: AuditLog
  private let directory = FileManager.default.temporaryDirectory.appending(path: "hubaudit-\(UUID().uuidString)").path

  init(now: (@Sendable () -> UInt64)? = nil) throws {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    store = WatchedStore(try SegmentStore.open(directory: directory, logger: logger))
    log = try AuditLog(store: store, now: now, logger: logger)
  }

  deinit {
    try? log.close()
    try? FileManager.default.removeItem(atPath: directory)
  }
}

/// A store that is asked, and may refuse, before the real one. Set up between appends only.
private final class WatchedStore: RecordStore, @unchecked Sendable {
  private let inner: any RecordStore
  /// Called on the thread that stores, with the first sequence of the commit.
  var beforeAppend: (UInt64) -> Void = { _ in }
  /// Called when a commit is sealed, with its first sequence.
  var beforePrepare: (UInt64) -> Void = { _ in }
  var failure: StoreError?

  init(_ inner: any RecordStore) { self.inner = inner }

  func prepare(_ commit: borrowing Commit) throws(StoreError) -> (any Sendable)? {
    beforePrepare(commit.firstSequence)
    return try inner.prepare(commit)
  }

  func append(_ commit: borrowing Commit, state: () -> [UInt8]) throws(StoreError) {
    beforeAppend(commit.firstSequence)
    if let failure { throw failure }
    try inner.append(commit, state: state)
  }

  var start: LogStart { inner.start }
  var nextSequence: UInt64 { inner.nextSequence }
  var status: StoreStatus { inner.status }
  func close() throws(StoreError) { try inner.close() }
  func sequence(receivedAtOrAfter time: UInt64) throws(StoreError) -> UInt64 { try inner.sequence(receivedAtOrAfter: time) }
  func read(
    from position: ReadPosition, before end: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StoreError) -> ReadResult {
    try inner.read(from: position, before: end, into: buffer)
  }
}
