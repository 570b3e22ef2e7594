import AuditLog
import AuditSchema
import NIOCore

/// Decides whether a numbered append must be checked before it is submitted.
///
/// If all numbers of an append are new, the sequencer stores it. If all are old, it is answered from the log. If it has both, its new events
/// may be stored only if the log has its old ones. The session checks this first, and reads nothing more from the connection meanwhile.
struct NumberedAppends {
  /// `end`: the number after the last submitted event; numbers from `end` on are new. `oldEnd`: numbers below it are old, whatever is refused.
  private var end: UInt64 = 0
  private var oldEnd: UInt64 = 0
  /// An append is being checked.
  private(set) var isChecking = false
  /// Result of the check, for the append that is processed next.
  private var checked: (numbers: Range<UInt64>, recorded: Set<UInt64>)?

  /// - Parameter next: the number that the sequencer expects.
  mutating func begin(at next: UInt64) { (end, oldEnd) = (next, next) }

  /// Whether an append may have old and new numbers, and has not been checked.
  func mustCheck(_ number: UInt64, count: Int) -> Bool {
    number < end && number + UInt64(count) > oldEnd && checked?.numbers.lowerBound != number
  }

  mutating func beginCheck() { isChecking = true }

  /// - Parameters:
  ///   - old: the old numbers of the append.
  ///   - recorded: those that have a record in the log.
  mutating func endCheck(next: UInt64, old: Range<UInt64>, recorded: Set<UInt64>) {
    isChecking = false
    begin(at: next)
    checked = (old, recorded)
  }

  /// Forgets the check after its append has been processed.
  mutating func forgetCheck() {
    isChecking = false
    checked = nil
  }

  /// Notes an append that will be submitted.
  ///
  /// - Parameter ignored: positions of its events that make no record, ascending.
  /// - Returns: the number below which its old numbers were found in the log.
  /// - Throws: `producerNumberUnknown` when the log has no record of an old event.
  mutating func submit(_ number: UInt64, count: Int, ignored: ArraySlice<UInt32>) throws(RequestError) -> UInt64 {
    var checkedEnd: UInt64 = 0
    if let checked, checked.numbers.lowerBound == number {
      let old = Session.recordNumbers(of: checked.numbers, ignored: ignored)
      if let missing = old.first(where: { !checked.recorded.contains($0) }) {
        throw RequestError(unknownNumber: missing, nil, event: missing - number)
      }
      checkedEnd = checked.numbers.upperBound
    }
    // A number above the end is a gap; the sequencer will refuse it.
    guard number <= end else { return checkedEnd }
    if oldEnd == end { oldEnd = max(end, number + UInt64(count)) }
    end = max(end, number + UInt64(count))
    return checkedEnd
  }

  /// An append was refused, and perhaps the following ones: numbers from its first on may be new until the next check.
  mutating func refused(_ number: UInt64, _ error: RequestError) { oldEnd = min(oldEnd, error.expectedProducerSequence ?? number) }
}

extension RequestError {
  init(unknownNumber number: UInt64, _ origin: RecordOrigin?, event: UInt64) {
    self.init(
      .producerNumberUnknown,
      "number \(number) is below the one that is expected\(origin.map { " from producer \"\($0.producer ?? "")\"" } ?? ""), and the log has no record of it: "
        + "it cannot be told what became of this event. Nothing of this append was stored by it; number what is still to be stored from the "
        + "expected number on", event: Int(event))
  }
}

extension Session {
  /// Keeps an append until it is known which of its old numbers have records in the log, then processes it again.
  func checkNumbers(_ id: UInt64, _ all: Range<UInt64>, in frame: UnsafeRawBufferPointer) throws(RequestError) {
    guard shard.checked.admits(frame.count), let source else {
      throw RequestError(
        .overloaded,
        "appends that send events again wait for the disk with \(shard.checked.limit) bytes, which is the limit; send it again in a moment")
    }
    let copy = Array(frame)
    shard.checked.take(copy.count)
    numbers.beginCheck()
    pendingAppends += 1
    updateReading()
    // The question must come after everything submitted so far.
    shard.submit()
    let reference = NIOLoopBound(self, eventLoop: shard.loop)
    shard.log.sequencer.numbers(of: source) { [loop = shard.loop] state in
      loop.execute { reference.value.check(id, all, copy, source.origin, state) }
    }
  }

  private func check(
    _ id: UInt64, _ all: Range<UInt64>, _ frame: [UInt8], _ origin: RecordOrigin, _ state: (next: UInt64, lastSequence: UInt64?)?
  ) {
    let next = state?.next ?? all.lowerBound
    let old = all.lowerBound..<max(all.lowerBound, min(next, all.upperBound))
    guard let last = state?.lastSequence, !old.isEmpty else { return checked(id, frame, next, old, .success([])) }
    let history = ProducerHistory(of: Set(old), origin: origin, lastSequence: last, in: shard.log.store)
    runSteps {
      try history.step()
    } then: { session, result in
      session.checked(id, frame, next, old, result.map { Set($0.keys) })
    }
  }

  private func checked(_ id: UInt64, _ frame: [UInt8], _ next: UInt64, _ old: Range<UInt64>, _ result: Result<Set<UInt64>, any Error>) {
    shard.checked.giveBack(frame.count)
    pendingAppends -= 1
    switch result {
    case .success(let recorded):
      numbers.endCheck(next: next, old: old, recorded: recorded)
      if !isEnding { frame.withUnsafeBytes { receive($0) } }
    case .failure(let error): refuse(append: id, RequestError(storeError: error))
    }
    numbers.forgetCheck()
    appendsAnswered()
    handler?.resume()
    shard.flush()
  }
}
