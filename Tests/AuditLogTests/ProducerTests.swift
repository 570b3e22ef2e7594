import AuditLog
import AuditSchema
import Foundation
import Testing

/// Numbered events: stored once, in order, whatever is sent again.
@Suite struct ProducerTests {
  private func sequences(_ outcome: ProducerFixture.Outcome) -> String {
    switch outcome {
    case .pending: "pending"
    case .appended(let first): "appended \(first.map { "\($0)" } ?? "-")"
    case .duplicate(let stored, let last, let first):
      "stored \(stored) last \(last.map { "\($0)" } ?? "-") new \(first.map { "\($0)" } ?? "-")"
    case .refused(let error): "refused \(error.code) \(error.expectedProducerSequence.map { "\($0)" } ?? "-")"
    }
  }

  @Test("a transcript: in order, again, in part again, with a gap")
  func transcript() throws {
    let fixture = try TemporaryLog()
    let producer = try ProducerFixture(fixture.log)
    #expect(producer.expected() == 1)
    #expect(sequences(try producer.append([.numbered(1), .numbered(2)], number: 1)) == "appended 0")
    #expect(sequences(try producer.append([.numbered(1), .numbered(2)], number: 1)) == "stored 2 last 1 new -")
    #expect(sequences(try producer.append([.numbered(2), .numbered(3)], number: 2)) == "stored 1 last 1 new 2")
    #expect(sequences(try producer.append([.numbered(9)], number: 9)) == "refused producerGap 4")
    #expect(sequences(try producer.append([.ignored], number: 4)) == "appended -")
    #expect(sequences(try producer.append([.numbered(5)], number: 5)) == "appended 3")
    #expect(producer.expected() == 6)
    #expect(try fixture.log.readAll().compactMap(\.producerSequence) == [1, 2, 3, 5])
  }

  @Test("numbers outlive a restart, also where the segment that held them is long sealed")
  func restart() throws {
    let fixture = try TemporaryLog(segmentBytes: 64 << 10)
    let early = try ProducerFixture(fixture.log, producer: "early")
    _ = try early.append([.numbered(1)], number: 1)
    let busy = try ProducerFixture(fixture.log, producer: "busy")
    for number in 1...1_500 { _ = try busy.append([.numbered(number)], number: UInt64(number)) }
    try fixture.reopen()
    #expect(fixture.log.store.status.segments > 2)
    let again = try ProducerFixture(fixture.log, producer: "early")
    #expect(again.expected() == 2)
    #expect(sequences(try again.append([.numbered(1)], number: 1)) == "stored 1 last 0 new -")
    #expect(try ProducerFixture(fixture.log, producer: "busy").expected() == 1_501)
  }

  @Test("after a restart a producer may say which numbers were answered as ignored; a gap stays a gap")
  func declared() throws {
    let fixture = try TemporaryLog()
    let producer = try ProducerFixture(fixture.log)
    _ = try producer.append([.numbered(1)], number: 1)
    _ = try producer.append([.ignored, .ignored], number: 2)
    try fixture.reopen()
    let again = try ProducerFixture(fixture.log)
    #expect(again.expected() == 2)
    #expect(sequences(try again.append([.numbered(4)], number: 4)) == "refused producerGap 2")
    #expect(again.expected(declared: 4) == 4)
    #expect(again.expected(declared: 2) == 4)
    #expect(sequences(try again.append([.numbered(4)], number: 4)) == "appended 1")
  }

  @Test("the sequences of events stored before are found in the log")
  func history() throws {
    let fixture = try TemporaryLog()
    let one = try ProducerFixture(fixture.log, producer: "one")
    let other = try ProducerFixture(fixture.log, producer: "other")
    for number in 1...2_000 {
      _ = try one.append([.numbered(number)], number: UInt64(number))
      if number % 2 == 0 { _ = try other.append([.numbered(number)], number: UInt64(number / 2)) }
    }
    let all = try fixture.log.readAll().filter { $0.producer == "one" }
    let found = try sequences(of: [100, 101, 102], one, last: all.last!.sequence, in: fixture.log)
    #expect(found == all[99...101].map(\.sequence))
    _ = other.expected(declared: 1_500)
    _ = try other.append([.numbered(1)], number: 1_500)
    let others = try sequences(of: [1_000, 1_001, 1_499, 1_500], other, last: fixture.log.nextSequence - 1, in: fixture.log)
    #expect(others == [2_999, nil, nil, 3_000])
  }

  private func sequences(of numbers: [UInt64], _ producer: ProducerFixture, last: UInt64, in log: AuditLog) throws -> [UInt64?] {
    let history = ProducerHistory(of: Set(numbers), origin: producer.source.origin, lastSequence: last, in: log.store)
    while true {
      if let found = try history.step() { return numbers.map { found[$0] } }
    }
  }

  @Test("a look-up of a number that no record has goes through the log in bounded steps, each with another piece of it")
  func boundedSteps() throws {
    let fixture = try TemporaryLog()
    let filler = try ProducerFixture(fixture.log, producer: "filler")
    let pad = String(repeating: "x", count: 10_000)
    for commit in 0..<100 {
      let events = (0..<20).map { _ in Event.custom(json: Array(#"{"pad":"\#(pad)"}"#.utf8)) }
      _ = try filler.append(events, number: UInt64(commit * 20 + 1))
    }
    let producer = try ProducerFixture(fixture.log, producer: "one")
    _ = producer.expected(declared: 2)
    _ = try producer.append([.numbered(2)], number: 2)
    let counted = CountedReads(fixture.log.store)
    let last = fixture.log.nextSequence - 1
    let history = ProducerHistory(of: [1], origin: producer.source.origin, lastSequence: last, in: counted)
    var steps = 1
    var before = 0
    while try history.step() == nil {
      steps += 1
      #expect(counted.bytes - before <= 2 * ProducerHistory.stepBytes)
      before = counted.bytes
    }
    #expect(steps >= 20_000_000 / (2 * ProducerHistory.stepBytes))
    // Nothing was read twice.
    #expect(counted.bytes < 22_000_000 && counted.bytes > 20_000_000)
  }

  @Test("an append with old numbers and new ones is stored only when the old ones were looked for")
  func unchecked() throws {
    let fixture = try TemporaryLog()
    let producer = try ProducerFixture(fixture.log)
    _ = try producer.append([.numbered(1), .numbered(2)], number: 1)
    producer.checkedEnd = 2
    #expect(sequences(try producer.append([.numbered(2), .numbered(3)], number: 2)) == "refused overloaded 3")
    producer.checkedEnd = 3
    #expect(sequences(try producer.append([.numbered(2), .numbered(3)], number: 2)) == "stored 1 last 1 new 2")
  }

  @Test("a connection that says hello takes the producer over: what an older one still sends is refused")
  func takenOver() throws {
    let fixture = try TemporaryLog()
    let older = try ProducerFixture(fixture.log)
    #expect(older.expected() == 1)
    #expect(sequences(try older.append([.numbered(1)], number: 1)) == "appended 0")
    let newer = try ProducerFixture(fixture.log)
    #expect(newer.expected() == 2)
    #expect(sequences(try older.append([.numbered(2)], number: 2)) == "refused producerSuperseded -")
    #expect(sequences(try newer.append([.numbered(-2)], number: 2)) == "appended 1")
    #expect(try fixture.log.readAll().count == 2)
  }

  @Test("a producer whose events are being stored is not forgotten, however many others come")
  func notForgottenUnderWay() throws {
    var configuration = AuditLogConfiguration()
    configuration.hubProducers = 8
    let watched = try WatchedLog(configuration: configuration)
    let first = try ProducerFixture(watched.log, producer: "first")
    let others = try (0..<9).map { try ProducerFixture(watched.log, producer: "p\($0)") }
    let gate = Gate(watched.store, at: 0)
    let original = try first.submit([.large(1)], number: 1)
    gate.isStoring.wait()
    let isSealed = DispatchSemaphore(value: 0)
    watched.store.beforePrepare = { _ in isSealed.signal() }
    let batch = AppendBatch(owner: others[0])
    for other in others { _ = try other.batch([.large(1)], number: 1, with: batch) }
    if let refusal = watched.log.sequencer.submit(batch) { throw refusal }
    isSealed.wait()
    gate.open()
    #expect(sequences(first.nextOutcome(original)) == sequences(.appended(first: 0)))
    _ = others[0].nextOutcome(batch)
    #expect(first.expected() == 2)
  }
}

/// A store that counts what is read from it.
private final class CountedReads: RecordStore, @unchecked Sendable {
  let store: any RecordStore
  /// Bytes of records that were read: by one thread at a time.
  var bytes = 0

  init(_ store: any RecordStore) { self.store = store }

  var start: LogStart { store.start }
  var nextSequence: UInt64 { store.nextSequence }
  var status: StoreStatus { store.status }
  func append(_ commit: borrowing Commit, state: () -> [UInt8]) throws(StoreError) { try store.append(commit, state: state) }
  func read(from position: ReadPosition, before end: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StoreError) -> ReadResult {
    let result = try store.read(from: position, before: end, into: buffer)
    if case .records(let range, _, _) = result { bytes += range.count }
    return result
  }
  func received(in times: Range<UInt64>) throws(StoreError) -> [Range<UInt64>] { try store.received(in: times) }
  func close() throws(StoreError) { try store.close() }
}
