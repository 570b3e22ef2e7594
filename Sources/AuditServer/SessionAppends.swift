import AuditLog
import AuditSchema

/// Appends: from a frame to the lane's batch, and from the batch's outcome to the answer.
extension Session {
  func append(_ id: UInt64, _ request: AppendRequest, in frame: UnsafeRawBufferPointer) throws(SchemaError) {
    guard let source else {
      throw SchemaError(.invalidRequest, "the hello named no hub, so this connection cannot append; connect with a hub's name")
    }
    guard request.count <= Int(limits.appendEvents) else {
      throw SchemaError(
        .limitExceeded,
        "the append has \(request.count) events; the limit is \(limits.appendEvents) (append_events); split it")
    }
    if let number = request.producerSequence {
      guard source.origin.producer != nil else {
        throw SchemaError(.invalidRequest, "the append numbers its events and the hello named no producer")
      }
      guard number > 0, number < Record.maximumSequence - UInt64(request.count) else {
        throw SchemaError(.invalidRequest, "the producer's number \(number) is out of range; numbers start at 1")
      }
    }
    if request.isProven { try checkProven(request) }
    if let number = request.producerSequence, numbers.mustCheck(number, count: request.count) {
      return try checkNumbers(id, number..<number + UInt64(request.count), in: frame)
    }
    let batch = lane.openBatch()
    let part = try lane.translator.translate(
      request, origin: source.origin, firstNumber: request.producerSequence, recordLimit: Int(limits.recordBytes), into: batch.records)
    var checkedEnd: UInt64 = 0
    if let number = request.producerSequence {
      do throws(SchemaError) {
        checkedEnd = try numbers.submit(number, count: request.count, ignored: batch.records.ignored[part.ignored])
      } catch {
        batch.records.takeBack(part)
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
    lane.batchGrew(to: cost)
  }

  func settle(_ request: UnsafePointer<AppendBatch.Request>) {
    pendingAppends -= 1
    pendingBytes -= request.pointee.cost
  }

  /// The sequencer did not take the batch. `appendsSettled` follows.
  func refused(_ request: UnsafePointer<AppendBatch.Request>, _ error: SchemaError) {
    settle(request)
    if let number = request.pointee.firstNumber { numbers.refused(number, error) }
    guard !isEnding else { return }
    write(lane.encoder.error(id: request.pointee.id, error))
  }

  /// An append has its outcome. `appendsSettled` follows.
  func completed(_ request: UnsafePointer<AppendBatch.Request>, of batch: AppendBatch) {
    settle(request)
    if case .refused(let reason) = request.pointee.outcome, let number = request.pointee.firstNumber {
      numbers.refused(number, batch.refusals[reason])
    }
    guard !isEnding else { return }
    let id = request.pointee.id
    switch request.pointee.outcome {
    case .appended(let first?) where request.pointee.ignored.isEmpty && !request.pointee.isProven && !wantsCheckpoints:
      write(AppendedFrame(id: id, recorded: request.pointee.spans.count, firstSequence: first))
    case .appended(let first):
      answer(
        id, isProven: request.pointee.isProven,
        Appended(
          recorded: request.pointee.spans.count, ignoredEvents: Array(batch.ignored(of: request.pointee)), firstSequence: first))
    case .refused(let reason): write(lane.encoder.error(id: id, batch.refusals[reason]))
    case .duplicate(let stored, let lastSequence, let first):
      answerDuplicate(
        request.pointee, of: batch, stored: stored, lastSequence: lastSequence, first: first)
    case .pending: write(lane.encoder.error(id: id, SchemaError(.internal, "the append came back without an outcome")))
    }
  }

  /// One or more appends were answered.
  func appendsSettled() {
    updateReading()
    finishIfDone()
  }

  /// The numbers of those events that make records.
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

  /// Sends what became of an append, at once or when it is proven.
  func answer(_ id: UInt64, isProven: Bool, _ appended: Appended) {
    guard !isProven || appended.recorded == 0 else { return answerProven(id, appended) }
    var appended = appended
    appended.checkpoint = untoldCheckpoint()
    write(lane.encoder.appended(id: id, appended))
  }

  /// The newest checkpoint, once, where the peer asked to be told.
  func untoldCheckpoint() -> [UInt8]? {
    guard wantsCheckpoints, let newest = lane.log.newestCheckpoint, newest != toldCheckpoint else { return nil }
    toldCheckpoint = newest
    return newest.note
  }

  /// Keeps the connection of one that drains until `finishLate` is called.
  func beginLate() { pendingAppends += 1 }

  func finishLate() {
    pendingAppends -= 1
    appendsSettled()
  }
}
