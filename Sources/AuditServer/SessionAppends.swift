import AuditLog
import AuditSchema

/// Appends: from a frame into the shard's batch, and from the batch's outcome to the answer.
extension Session {
  func append(_ id: UInt64, _ request: AppendRequest, in frame: UnsafeRawBufferPointer) throws(RequestError) {
    guard let source else {
      throw RequestError(.invalidRequest, "the hello named no hub, so this connection cannot append; connect with a hub's name")
    }
    guard request.count <= Int(limits.appendEvents) else {
      throw RequestError(
        .limitExceeded,
        "the append has \(request.count) events; the limit is \(limits.appendEvents) (append_events); split it")
    }
    if let number = request.producerSequence {
      guard source.origin.producer != nil else {
        throw RequestError(.invalidRequest, "the append numbers its events and the hello named no producer")
      }
      guard number > 0, number < Record.maximumSequence - UInt64(request.count) else {
        throw RequestError(.invalidRequest, "the producer's number \(number) is out of range; numbers start at 1")
      }
    }
    if request.isProven { try checkProven(request) }
    if let number = request.producerSequence, numbers.mustCheck(number, count: request.count) {
      return try checkNumbers(id, number..<number + UInt64(request.count), in: frame)
    }
    try access.usage?.arrived(frame.count)
    let batch = shard.openBatch()
    let part = try shard.translator.translate(
      request, origin: source.origin, firstNumber: request.producerSequence, recordLimit: Int(limits.recordBytes), into: batch.records)
    var checkedEnd: UInt64 = 0
    if let number = request.producerSequence {
      do throws(RequestError) {
        checkedEnd = try numbers.submit(number, count: request.count, ignored: batch.records.ignored[part.ignored])
      } catch {
        batch.records.rollBack(part)
        throw error
      }
    }
    let request = AppendBatch.Request(
      id: id, firstNumber: request.producerSequence, eventCount: request.count, part: part, bytes: frame.count,
      isProven: request.isProven, checkedEnd: checkedEnd)
    pendingAppends += 1
    pendingBytes += request.cost
    let cost = batch.add(request, source: source, token: serial)
    if pendingBytes > Int(limits.pendingAppendBytes) { updateReading() }
    shard.batchGrew(to: cost)
  }

  func release(_ request: UnsafePointer<AppendBatch.Request>) {
    pendingAppends -= 1
    pendingBytes -= request.pointee.cost
  }

  /// The sequencer did not take the batch. `appendsAnswered` follows.
  func refused(_ request: UnsafePointer<AppendBatch.Request>, _ error: RequestError) {
    release(request)
    if let number = request.pointee.firstNumber { numbers.refused(number, error) }
    refuse(append: request.pointee.id, error)
  }

  /// Answers an append of which nothing is stored.
  func refuse(append id: UInt64, _ error: RequestError) {
    shard.counters.refused(error.code)
    write(shard.encoder.error(id: id, error))
  }

  /// An append has its outcome. `appendsAnswered` follows.
  func completed(_ request: UnsafePointer<AppendBatch.Request>, of batch: AppendBatch) {
    release(request)
    if case .refused(let reason) = request.pointee.outcome, let number = request.pointee.firstNumber {
      numbers.refused(number, batch.refusals[reason])
    }
    let id = request.pointee.id
    guard !isEnding else {
      if case .refused(let reason) = request.pointee.outcome { shard.counters.refused(batch.refusals[reason].code) }
      return
    }
    switch request.pointee.outcome {
    case .appended(let first?) where request.pointee.ignored.isEmpty && !request.pointee.isProven && !wantsCheckpoints:
      write(AppendedFrame(id: id, recorded: request.pointee.spans.count, firstSequence: first))
    case .appended(let first):
      answer(
        id, isProven: request.pointee.isProven,
        Appended(
          recorded: request.pointee.spans.count, ignoredEvents: Array(batch.ignored(of: request.pointee)), firstSequence: first))
    case .refused(let reason): refuse(append: id, batch.refusals[reason])
    case .duplicate(let stored, let lastSequence, let first):
      answerDuplicate(
        request.pointee, of: batch, stored: stored, lastSequence: lastSequence, first: first)
    case .pending: refuse(append: id, RequestError(.internal, "the append came back without an outcome"))
    }
  }

  /// One or more appends were answered.
  func appendsAnswered() {
    updateReading()
    finishIfDone()
  }

  /// The numbers of the events that make records.
  ///
  /// - Parameter ignored: positions from the first number on, ascending.
  static func recordNumbers(of numbers: Range<UInt64>, ignored: ArraySlice<UInt32>) -> [UInt64] {
    var ignored = ignored
    return numbers.filter { number in
      guard let first = ignored.first, UInt64(first) == number - numbers.lowerBound else { return true }
      ignored.removeFirst()
      return false
    }
  }

  /// Answers an append: at once, or when a checkpoint covers it.
  func answer(_ id: UInt64, isProven: Bool, _ appended: Appended) {
    guard !isProven || appended.recorded == 0 else { return answerProven(id, appended) }
    var appended = appended
    appended.checkpoint = untoldCheckpoint()
    write(shard.encoder.appended(id: id, appended))
  }

  /// The newest checkpoint, if the hello asked for checkpoints and this one has not been sent.
  func untoldCheckpoint() -> [UInt8]? {
    guard wantsCheckpoints, let newest = shard.log.newestCheckpoint, newest != toldCheckpoint else { return nil }
    toldCheckpoint = newest
    return newest.note
  }

  /// Keeps a draining connection open until `finishLate` is called.
  func beginLate() { pendingAppends += 1 }

  func finishLate() {
    pendingAppends -= 1
    appendsAnswered()
  }
}
