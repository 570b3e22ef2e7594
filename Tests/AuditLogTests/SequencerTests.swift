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
    let sealed = Mutex<[UInt64]>([])
    let isSealed = DispatchSemaphore(value: 0)
    watched.store.beforePrepare = { sequence in
      sealed.withLock { $0.append(sequence) }
      isSealed.signal()
    }
    let gate = Gate(watched.store, at: 0, failure: StoreError(.full, "no room"))
    let refused = try first.submit([.large(1)], number: 1)
    gate.isStoring.wait()
    isSealed.wait()
    // Sealed as if number 1 were stored.
    let ahead = try other.submit([.large(1)], number: 1)
    isSealed.wait()
    let follower = try first.submit([.large(2)], number: 2)
    gate.open()
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

  @Test("the events that a producer sent behind a commit that was refused are a gap")
  func sealedBehindItself() throws {
    let watched = try WatchedLog()
    let producer = try ProducerFixture(watched.log)
    let isSealed = DispatchSemaphore(value: 0)
    watched.store.beforePrepare = { _ in isSealed.signal() }
    let gate = Gate(watched.store, at: 0, failure: StoreError(.full, "no room"))
    let refused = try producer.submit([.large(1)], number: 1)
    gate.isStoring.wait()
    isSealed.wait()
    let ahead = try producer.submit([.large(2)], number: 2)
    isSealed.wait()
    gate.open()
    guard case .refused(let error) = producer.nextOutcome(refused), error.code == .storageFull,
      case .refused(let gap) = producer.nextOutcome(ahead), gap.expectedProducerSequence == 1
    else {
      Issue.record("an event was stored whose predecessor was not")
      return
    }
    #expect(producer.expected() == 1 && watched.log.nextSequence == 0)
  }

  @Test("little that comes while a large commit is being stored is not sealed before that is done")
  func heldBehind() throws {
    let watched = try WatchedLog()
    let producer = try ProducerFixture(watched.log)
    let sealed = Mutex<[UInt64]>([])
    let isSealed = DispatchSemaphore(value: 0)
    watched.store.beforePrepare = { sequence in
      sealed.withLock { $0.append(sequence) }
      isSealed.signal()
    }
    let gate = Gate(watched.store, at: 0)
    let large = try producer.submit([.large(1)], number: 1)
    gate.isStoring.wait()
    isSealed.wait()
    let small = try producer.submit([.numbered(2)], number: 2)
    #expect(isSealed.wait(timeout: .now() + 0.05) == .timedOut)
    let other = try producer.submit([.numbered(3)], number: 3)
    gate.open()
    guard case .appended(first: 0) = producer.nextOutcome(large), case .appended(first: 1) = producer.nextOutcome(small),
      case .appended(first: 2) = producer.nextOutcome(other)
    else {
      Issue.record("what was held was not stored")
      return
    }
    // Both in one commit.
    #expect(sealed.withLock { $0 } == [0, 1])
  }

  @Test("a segment that is begun while the next commit is sealed holds the numbers without that one's")
  func stateWhileSealing() throws {
    let watched = try WatchedLog(segmentBytes: 64 << 10)
    let producer = try ProducerFixture(watched.log)
    _ = try producer.append([.large(1)], number: 1)
    let isSealed = DispatchSemaphore(value: 0)
    watched.store.beforePrepare = { if $0 == 2 { isSealed.signal() } }
    // The second is stored in a new segment when the third is sealed, and the third is refused.
    let gate = Gate(watched.store, at: 1)
    let second = try producer.submit([.large(2)], number: 2)
    gate.isStoring.wait()
    let third = try producer.submit([.large(3)], number: 3)
    isSealed.wait()
    let refusal = Gate(watched.store, at: 2, failure: StoreError(.full, "no room"))
    refusal.open()
    gate.open()
    guard case .appended(first: 1) = producer.nextOutcome(second), case .refused = producer.nextOutcome(third) else {
      Issue.record("the second was not stored, or the third was")
      return
    }
    #expect(watched.store.status.segments == 2)
    let log = try watched.reopened()
    defer { try? log.close() }
    #expect(try ProducerFixture(log).expected() == 3)
  }

  @Test("a commit that the store cannot read back is refused, and the log goes on", arguments: [Event.numbered(1), .large(1)])
  func invalid(event: Event) throws {
    let watched = try WatchedLog()
    let producer = try ProducerFixture(watched.log)
    watched.store.preparationFailure = StoreError(.invalid, "not a sealed record")
    guard case .refused(let error) = try producer.append([event], number: 1) else {
      Issue.record("what cannot be read back was stored")
      return
    }
    #expect(error.code == .logFailed && !error.code.isRetryable)
    watched.store.preparationFailure = nil
    #expect(producer.expected() == 1)
    guard case .appended(first: 0) = try producer.append([event], number: 1) else {
      Issue.record("the log did not go on")
      return
    }
  }

  @Test("numbers of a commit under way are known, and an event that is sent again is answered when it is durable")
  func repeatedUnderWay() throws {
    let isTaken = DispatchSemaphore(value: 0)
    let watched = try WatchedLog(now: {
      isTaken.signal()
      return 1
    })
    let producer = try ProducerFixture(watched.log)
    let gate = Gate(watched.store, at: 0)
    let original = try producer.submit([.large(1)], number: 1)
    gate.isStoring.wait()
    isTaken.wait()
    let again = try producer.submit([.large(1)], number: 1)
    isTaken.wait()
    let next = try producer.submit([.large(2)], number: 2)
    gate.open()
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

  @Test(
    "a clock that is set back by more than a second takes the time of records with it, and a record says so first; a commit that fails says nothing"
  )
  func setBack() throws {
    let second: UInt64 = 1_000_000_000
    let clock = Mutex<UInt64>(500 * second)
    let watched = try WatchedLog(now: { clock.withLock { $0 } })
    let producer = try ProducerFixture(watched.log, producer: nil)
    _ = try producer.append([.numbered(0)], number: nil)
    clock.withLock { $0 = 499 * second }
    _ = try producer.append([.numbered(1)], number: nil)
    clock.withLock { $0 = 20 * second }
    watched.store.failure = StoreError(.full, "no room")
    guard case .refused = try producer.append([.numbered(2)], number: nil) else {
      Issue.record("a commit that could not be stored was acknowledged")
      return
    }
    watched.store.failure = nil
    clock.withLock { $0 = 21 * second }
    _ = try producer.append([.numbered(3)], number: nil)
    _ = try producer.append([.numbered(4)], number: nil)
    let records = try watched.log.readAll()
    #expect(records.map(\.receivedAt) == [500 * second, 500 * second + 1, 21 * second, 21 * second, 21 * second + 1])
    #expect(records.map(\.kind) == [nil, nil, "clock_stepped", nil, nil] || records[2].kind == "clock_stepped")
    #expect(records.filter { $0.kind == "clock_stepped" }.count == 1 && records[2].hub == "hubaudit")
    let text = String(decoding: try #require(try records[2].json()), as: UTF8.self)
    #expect(text == #"{"from":"1970-01-01T00:08:20.000000001Z","kind":"clock_stepped","to":"1970-01-01T00:00:20.000000000Z"}"#)
    #expect(watched.log.clock.status.steps == 1 && watched.log.clock.read().pending.isEmpty)
  }
}
