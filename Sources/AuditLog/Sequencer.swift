import AuditSchema
import Foundation
import Logging
import Synchronization

/// Gives every record its position. The writer thread takes all waiting batches and seals them as one commit. A large commit is stored on a
/// second thread, while the writer seals the next one.
///
/// Invariant: a commit is sealed, written and synced before the durable end moves, before its appends are answered, and before its records are
/// pushed. A commit that could not be stored leaves only its refusals behind; a commit that was sealed after it is sealed again.
package final class Sequencer: Sendable {
  package struct Statistics: Sendable {
    package var records: UInt64 = 0
    package var bytes: UInt64 = 0
    package var commits: UInt64 = 0
  }

  private let store: any RecordStore
  private let queue: WriterQueue
  private let tail: LogTail
  private let commitBytes: Int
  private let clock: LogClock
  /// Encodes the records about clock steps.
  private let own: Mutex<LocalEncoder>
  private let logger: Logger
  private let observers = Mutex<[any CommitObserver]>([])
  private let statistics = Mutex(Statistics())
  private let ended = DispatchSemaphore(value: 0)
  /// Locked while a commit is sealed: storing the one before it may read the table meanwhile.
  private let producers: Mutex<ProducerTable>
  private let commits: CommitThread
  private let report: @Sendable (ProducerEvent) -> Void

  /// - Parameters:
  ///   - clock: gives commits their time.
  ///   - now: Unix ns, for events without a time of their own.
  ///   - report: called on the writer thread with take-overs and jumps of producers.
  /// - Throws: `StoreError` if the records that rebuild the producers' numbers cannot be read.
  init(
    store: any RecordStore, tail: LogTail, configuration: AuditLogConfiguration, clock: LogClock, now: @escaping @Sendable () -> UInt64,
    logger: Logger, report: @escaping @Sendable (ProducerEvent) -> Void
  ) throws {
    self.store = store
    self.report = report
    self.tail = tail
    self.clock = clock
    own = Mutex(LocalEncoder(source: AppendSource(origin: .log), configuration: configuration, now: now))
    self.logger = logger
    commitBytes = configuration.commitBytes
    queue = WriterQueue(limitBytes: configuration.queueBytes)
    let limits = ProducerTable.Limits(
      producers: configuration.producers, hubProducers: configuration.hubProducers, jump: configuration.producerJump)
    producers = Mutex(try Self.restoreProducers(store, limits))
    commits = CommitThread(whenIdle: queue.release)
    NamedThread.start("hubaudit-writer") { [self] in run() }
  }

  private static func restoreProducers(_ store: any RecordStore, _ limits: ProducerTable.Limits) throws -> ProducerTable {
    var table = ProducerTable(limits: limits)
    if !store.start.state.isEmpty { try table.restore(store.start.state) }
    let reader = RecordReader(store: store, from: max(store.start.stateSequence, store.start.firstSequence))
    while let batch = try reader.next(before: store.nextSequence) {
      batch.forEachRecord { record in replay(record, into: &table) }
    }
    return table
  }

  private static func replay(_ record: UnsafeRawBufferPointer, into table: inout ProducerTable) {
    guard let parts = RecordBytes(record), case let header = RecordHeaderBytes(parts.header), let sequence = header.sequence,
      let producer = header.producer, let number = header.producerSequence
    else { return }
    table.replay(
      hub: String(decoding: header.hub, as: UTF8.self), producer: String(decoding: producer, as: UTF8.self),
      principal: header.principal.map { String(decoding: $0, as: UTF8.self) }, number: number, sequence: sequence)
  }

  // MARK: - For event loops

  /// Submits a batch. Its owner gets it back with an outcome in every request.
  ///
  /// - Returns: why it was refused; `nil` if it was taken.
  package func submit(_ batch: AppendBatch) -> RequestError? {
    batch.records.hashBodies()
    return switch queue.submit(batch) {
    case .taken: nil
    case .full: RequestError(.overloaded, "more appends wait for the disk than the server may hold in memory; send again in a moment")
    case .closed: RequestError(.draining, "the log is closing and takes no more appends; connect again")
    }
  }

  /// A connection says hello as its source's producer. After everything submitted so far, only this source may append as the producer. `done` is
  /// called on the writer thread, with `nil` if the source has no producer or the log is closed.
  ///
  /// - Parameters:
  ///   - declared: the lowest number that the producer may still send.
  ///   - token: from an earlier greeting, 16 bytes.
  package func greet(
    _ source: AppendSource, declared: UInt64?, token: [UInt8]? = nil,
    done: @escaping @Sendable (Result<ProducerGreeting?, RequestError>) -> Void
  ) {
    let token = token.flatMap { SessionToken($0) }
    let taken = queue.perform { [self] in
      let result = producers.withLock { producers in
        Result { () throws(RequestError) in try producers.greet(source, declared: declared, token: token) }
      }
      if case .success(let greeting?) = result { greeting.events.forEach(report) }
      done(result)
    }
    if !taken { done(.success(nil)) }
  }

  /// A source's connection is closed and submits no more.
  package func release(_ source: AppendSource) {
    // A closed log keeps no producers.
    _ = queue.perform { [self] in producers.withLock { $0.release(source) } }
  }

  /// The next number of a source's producer and the sequence of its newest record, after everything submitted so far. `done` is called on the
  /// writer thread, with `nil` if the source has no producer or the log is closed.
  package func numbers(of source: AppendSource, done: @escaping @Sendable ((next: UInt64, lastSequence: UInt64?)?) -> Void) {
    let taken = queue.perform { [self] in
      done(producers.withLock { $0.entry(for: source).map { ($0.next, $0.lastSequence) } })
    }
    if !taken { done(nil) }
  }

  /// Calls `done` on the writer thread when everything that was submitted before is stored or refused.
  ///
  /// - Returns: false when the log is closed: it is not called.
  package func whenRound(_ done: @escaping @Sendable () -> Void) -> Bool { queue.perform(done) }

  /// Requests that wait for the writer, and their cost in bytes.
  package var queued: (requests: Int, bytes: Int) { queue.length }

  package func add(_ observer: any CommitObserver) {
    observers.withLock { $0.append(observer) }
  }

  package func remove(_ observer: any CommitObserver) {
    observers.withLock { $0.removeAll { $0 === observer } }
  }

  /// Number of remembered producers.
  package var producerCount: Int { producers.withLock { $0.count } }

  /// Time from a batch's first append to its answer, counted for each append.
  package let appendDurations = DurationHistogram()

  package var counts: Statistics { statistics.withLock { $0 } }

  /// Stores the waiting batches and ends the writer threads.
  func close() {
    queue.close()
    ended.wait()
    ended.signal()
  }

  // MARK: - The writer threads

  /// Records with positions and checksums, and the batches that they came from.
  private struct SealedCommit: Sendable {
    let batches: [AppendBatch]
    let bytes: CommitBytes
    let receivedAt: UInt64
    var stepsBack = false
    /// The store's preparation, or why it refuses the commit.
    var preparation: Result<(any Sendable)?, StoreError> = .success(nil)
  }

  /// The writer thread, once it runs.
  private let writer = Atomic<UInt>(0)

  /// Only the writer thread gives positions; that is what keeps them in order.
  private func assertOnWriter() { assert(pthread_self() == writer.load(ordering: .relaxed), "sealed on another thread than the writer's") }

  /// A smaller commit is stored on the writer thread: waking another thread takes longer than it saves.
  private static let handOverBytes = 32 << 10

  private func run() {
    writer.store(pthread_self(), ordering: .relaxed)
    var lastReceivedAt = store.start.lastReceivedAt
    /// Sequence after the commit under way; `nil` if none is.
    var nextSequence: UInt64?
    /// - Returns: false if the commit under way was not stored: then nothing that builds on it may be stored.
    func finishUnderWay() -> Bool {
      nextSequence = nil
      guard let isStored = commits.finish() else { return true }
      producers.withLock { $0.commitEnded(durable: isStored) }
      return isStored
    }
    while true {
      switch queue.take(maxBytes: commitBytes) {
      case .end:
        _ = finishUnderWay()
        commits.close()
        ended.signal()
        return
      case .task(let task):
        _ = finishUnderWay()
        task()
      case .batches(let batches):
        let time = clock.read()
        let isBefore = lastReceivedAt > time.time && lastReceivedAt - time.time > LogClock.thresholdNanoseconds
        if isBefore || !time.pending.isEmpty {
          _ = finishUnderWay()
          if let stamped = commitStep(batches, time.time, time.pending, isBefore: isBefore, after: lastReceivedAt) {
            lastReceivedAt = stamped
          }
          continue
        }
        // Strictly ascending: recovery and readers rely on it.
        let receivedAt = max(time.time, lastReceivedAt + 1)
        lastReceivedAt = receivedAt
        var commit = seal(batches, from: nextSequence ?? store.nextSequence, receivedAt: receivedAt)
        if !finishUnderWay() { commit = seal(batches, from: store.nextSequence, receivedAt: receivedAt) }
        producers.withLock { $0.handOver() }
        if commit.bytes.byteCount < Self.handOverBytes {
          let isStored = finish(commit)
          producers.withLock { $0.commitEnded(durable: isStored) }
        } else {
          nextSequence = commit.bytes.nextSequence
          // Small batches that come meanwhile wait for a larger commit.
          queue.hold(below: Self.handOverBytes)
          commits.begin { [self, commit] in finish(commit) }
        }
      }
    }
  }

  /// Stores a commit after the machine's clock was set. Records about the steps come first. If the clock was set back, a new stretch of time
  /// begins.
  ///
  /// - Parameters:
  ///   - steps: not recorded yet.
  ///   - last: the time of the newest commit.
  /// - Returns: the commit's time; `nil` if it could not be stored: then the next commit records the steps.
  private func commitStep(
    _ batches: [AppendBatch], _ time: UInt64, _ steps: [ClockStep], isBefore: Bool, after last: UInt64
  ) -> UInt64? {
    if steps.isEmpty { clock.note(ClockStep(from: last, to: time), "the machine's clock is before the newest record") }
    let steps = steps.isEmpty ? clock.read().pending : steps
    // The text is the program's own, so this cannot fail.
    guard let said = try? own.withLock({ try $0.batch(of: steps.map(LogClock.event)) }) else {
      preconditionFailure("a record about the clock was not encoded")
    }
    let receivedAt = isBefore ? max(1, time) : max(time, last + 1)
    let commit = seal([said] + batches, from: store.nextSequence, receivedAt: receivedAt, stepsBack: isBefore)
    producers.withLock { $0.handOver() }
    let isStored = finish(commit)
    producers.withLock { $0.commitEnded(durable: isStored) }
    if isStored { clock.recorded(steps) }
    return isStored ? receivedAt : nil
  }

  /// Records clock steps even if nobody appends.
  func recordClock() { _ = queue.submit(AppendBatch(owner: nil)) }

  /// Gives the batches' records their positions. Called again if the commit before could not be stored.
  private func seal(
    _ batches: [AppendBatch], from first: UInt64, receivedAt: UInt64, stepsBack: Bool = false
  ) -> SealedCommit {
    assertOnWriter()
    let bytes = CommitBytes(firstSequence: first, capacity: batches.reduce(0) { $0 + $1.records.count })
    producers.withLock { producers in
      for batch in batches {
        batch.withRequests { requests in
          for index in requests.indices {
            place(requests.baseAddress! + index, of: batch, in: bytes, receivedAt: receivedAt, &producers)
          }
        }
      }
    }
    var commit = SealedCommit(batches: batches, bytes: bytes, receivedAt: receivedAt, stepsBack: stepsBack)
    if bytes.recordCount > 0 {
      commit.preparation = Result { () throws(StoreError) in
        try store.prepare(
          Commit(firstSequence: first, count: bytes.recordCount, receivedAt: receivedAt, stepsBack: stepsBack, bytes: bytes.bytes))
      }
    }
    return commit
  }

  /// Stores a commit and gives its batches back with their outcomes.
  ///
  /// - Returns: false if it could not be stored.
  private func finish(_ commit: SealedCommit) -> Bool {
    defer { publish(commit.batches) }
    let bytes = commit.bytes
    guard bytes.recordCount > 0 else { return true }
    do throws(StoreError) {
      var stored = Commit(
        firstSequence: bytes.firstSequence, count: bytes.recordCount, receivedAt: commit.receivedAt, stepsBack: commit.stepsBack,
        bytes: bytes.bytes)
      stored.preparation = try commit.preparation.get()
      try store.append(stored, state: { producers.withLock { $0.encoded } })
    } catch {
      refuse(commit.batches, with: error)
      return false
    }
    tail.append(bytes)
    statistics.withLock { counts in
      counts.records += UInt64(bytes.recordCount)
      counts.bytes += UInt64(bytes.byteCount)
      counts.commits += 1
    }
    return true
  }

  /// Decides the outcome of a request, and puts its records into the commit.
  private func place(
    _ request: UnsafeMutablePointer<AppendBatch.Request>, of batch: AppendBatch, in commit: CommitBytes, receivedAt: UInt64,
    _ producers: inout ProducerTable
  ) {
    var stored = 0
    var entry: ProducerTable.Entry?
    if let number = request.pointee.firstNumber, case let source = batch.senders[request.pointee.sender].source,
      let producer = producers.entry(for: source)
    {
      entry = producer
      if let refusal = refusal(of: number, count: request.pointee.eventCount, from: source, producer) {
        request.pointee.outcome = batch.refusal(refusal)
        return
      }
      stored = Int(min(producer.pendingNext - number, UInt64(request.pointee.eventCount)))
      guard stored == 0 || stored == request.pointee.eventCount || producer.pendingNext <= request.pointee.checkedEnd else {
        request.pointee.outcome = batch.refusal(
          RequestError(
            .overloaded,
            "the number that is expected from producer \"\(producer.producer)\" became \(producer.pendingNext) while this append was under way, "
              + "which has numbers on both sides of it; send it again", expectedProducerSequence: producer.pendingNext))
        return
      }
    }
    let lastBefore = entry?.pendingLast
    let skipped = stored == 0 ? 0 : batch.spanCount(of: request.pointee, events: stored)
    let spans = request.pointee.spans.dropFirst(skipped)

    let first = commit.nextSequence
    commit.append(batch.records.seal(spans, firstSequence: first, receivedAt: receivedAt), records: spans.count)
    if let entry, let number = request.pointee.firstNumber, stored < request.pointee.eventCount {
      let line = batch.senders[request.pointee.sender].source.line
      if line != entry.appendingLine { entry.append(from: entry.pendingNext, by: line) }
      producers.advance(
        entry, next: number + UInt64(request.pointee.eventCount), lastSequence: spans.isEmpty ? nil : commit.nextSequence - 1,
        records: spans.count)
    }
    let firstSequence = spans.isEmpty ? nil : first
    request.pointee.outcome =
      stored == 0 ? .appended(first: firstSequence) : .duplicate(stored: stored, lastSequence: lastBefore, first: firstSequence)
  }

  /// Why a numbered append is refused; `nil` if it is not.
  private func refusal(of number: UInt64, count: Int, from source: AppendSource, _ producer: ProducerEntry) -> RequestError? {
    guard producer.holder == source.id, !producer.isForgotten else {
      return RequestError(
        .producerSuperseded,
        "a newer connection has said hello as producer \"\(producer.producer)\"; this one may not append its events any more. If it is another "
          + "program's, connect again with the token that this connection's welcome gave (session_token)")
    }
    guard !producer.isDoubtful else {
      return RequestError(
        .producerNumberUnknown,
        "the server has forgotten producers of hub \"\(producer.hub)\" and cannot tell whether events of \"\(producer.producer)\" from number "
          + "\(producer.next) on are stored (producer_forgotten in the welcome); say hello again with this welcome's session_token and a "
          + "producer_next above every number that was ever sent, and above \(producer.next), or take another producer name")
    }
    guard number <= producer.pendingNext else {
      return RequestError(
        .producerGap,
        "producer \"\(producer.producer)\" sent event number \(number) where \(producer.pendingNext) was expected; "
          + "send the events from number \(producer.pendingNext) on", expectedProducerSequence: producer.pendingNext)
    }
    guard number < producer.pendingNext,
      let foreign = producer.foreignNumber(in: number..<min(number + UInt64(count), producer.pendingNext), to: source.line)
    else { return nil }
    return RequestError(
      .producerNumberUnknown,
      "number \(foreign) was used by another client, which had taken producer \"\(producer.producer)\" over: nothing that this one sent under it is "
        + "stored (producer_taken_at in the welcome); number it anew, from \(producer.pendingNext) on", event: Int(foreign - number))
  }

  /// Refuses every request of the commit, including those that only repeat one of its events.
  private func refuse(_ batches: [AppendBatch], with error: StoreError) {
    logger.error("commit refused", metadata: ["reason": "\(error.message)"])
    let refusal =
      switch error.code {
      case .full: RequestError(.storageFull, error.message)
      case .closed: RequestError(.draining, error.message)
      default: RequestError(.logFailed, error.message)
      }
    for batch in batches {
      let outcome = batch.refusal(refusal)
      for index in batch.requests.indices { batch.requests[index].outcome = outcome }
    }
  }

  private func publish(_ batches: [AppendBatch]) {
    let now = ContinuousClock.now
    for batch in batches { appendDurations.observe(now - batch.since, count: UInt64(batch.requests.count)) }
    let next = store.nextSequence
    // Group by owner first; notified owners may reuse their batches.
    let told = observers.withLock { $0 }.map { observer in (observer, batches.filter { $0.owner === observer }) }
    for (observer, its) in told { observer.committed(its, next: next) }
  }
}
