import AuditSchema
import Foundation
import Logging
import Synchronization

/// Gives every record its position: one thread takes what waits and seals it as one commit; a second stores that and tells whoever is
/// concerned, while the first seals the next one.
///
/// The order of things is the promise: records are sealed, written and synced; only then does the durable end move, are appends answered
/// and records pushed. A commit that could not be stored leaves nothing behind but its answers; what was sealed after it is sealed anew.
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
  /// Makes the records about the clock.
  private let own: Mutex<LocalEncoder>
  private let logger: Logger
  private let observers = Mutex<[any CommitObserver]>([])
  private let statistics = Mutex(Statistics())
  private let ended = DispatchSemaphore(value: 0)
  /// Held while a commit is sealed: the one before it may ask for the table's state meanwhile.
  private let producers: Mutex<ProducerTable>
  private let commits: CommitThread
  private let report: @Sendable (ProducerEvent) -> Void

  /// - Parameters:
  ///   - clock: stamps the commits.
  ///   - now: the time of records that bring none.
  ///   - report: hears on the writer thread what happens to producers.
  /// - Throws: what the store says about the records that bring the producers' numbers up to date.
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
    let thread = Thread { [self] in run() }
    thread.name = Self.writerName
    thread.start()
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
      hub: String(decoding: header.hub, as: UTF8.self), producer: String(decoding: producer, as: UTF8.self), number: number,
      sequence: sequence)
  }

  // MARK: - For event loops

  /// Hands a batch over. It comes back through its owner with an outcome in every request.
  ///
  /// - Returns: why it was not taken; `nil` when it was.
  package func submit(_ batch: AppendBatch) -> RequestError? {
    batch.records.hashBodies()
    return switch queue.submit(batch) {
    case .taken: nil
    case .full: RequestError(.overloaded, "more appends wait for the disk than the server may hold in memory; send again in a moment")
    case .closed: RequestError(.draining, "the log is closing and takes no more appends; connect again")
    }
  }

  /// A connection says hello as its source's producer, after what has been submitted before: from here on the producer's events are taken
  /// from this source alone. `done` is called on the writer thread, with `nil` when the source has no producer or the log is closed.
  ///
  /// - Parameters:
  ///   - declared: the lowest number that the producer may still send.
  ///   - token: of an earlier greeting, 16 bytes.
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

  /// A source's connection is closed and submits nothing more.
  package func release(_ source: AppendSource) {
    // A closed log has nothing to forget.
    _ = queue.perform { [self] in producers.withLock { $0.release(source) } }
  }

  /// What is expected from a source's producer next, and the sequence of its newest record, when everything that was submitted before has
  /// its outcome. `done` is called on the writer thread, with `nil` when the source has no producer or the log is closed.
  package func numbers(of source: AppendSource, done: @escaping @Sendable ((next: UInt64, lastSequence: UInt64?)?) -> Void) {
    let taken = queue.perform { [self] in
      done(producers.withLock { $0.entry(for: source).map { ($0.next, $0.lastSequence) } })
    }
    if !taken { done(nil) }
  }

  package func add(_ observer: any CommitObserver) {
    observers.withLock { $0.append(observer) }
  }

  package func remove(_ observer: any CommitObserver) {
    observers.withLock { $0.removeAll { $0 === observer } }
  }

  /// Producers that are remembered.
  package var producerCount: Int { producers.withLock { $0.count } }

  /// From the first event of a batch to its answer, for each append.
  package let appendDurations = DurationHistogram()

  package var counts: Statistics { statistics.withLock { $0 } }

  /// Works off what waits, and ends the writer threads.
  func close() {
    queue.close()
    ended.wait()
    ended.signal()
  }

  // MARK: - The writer threads

  /// Records with positions and checksums, and the requests that they answer.
  private struct SealedCommit: Sendable {
    let batches: [AppendBatch]
    let bytes: CommitBytes
    let receivedAt: UInt64
    var stepsBack = false
    /// What the store wants to be given with it, or why it does not want it.
    var preparation: Result<(any Sendable)?, StoreError> = .success(nil)
  }

  private static let writerName = "hubaudit-writer"

  /// Positions are given on the writer thread alone: nothing else keeps them in order.
  private func assertOnWriter() { assert(Thread.current.name == Self.writerName, "a commit is sealed on another thread than the writer's") }

  /// A smaller commit is stored where it was sealed: to wake another thread would take longer than that saves.
  private static let handOverBytes = 32 << 10

  private func run() {
    var lastReceivedAt = store.start.lastReceivedAt
    /// The sequence after the commit under way.
    var nextSequence: UInt64?
    /// - Returns: false when the commit under way was not stored, and nothing that builds on it may be.
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
        // Greater than in the commit before: recovery and readers rely on it.
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
          // Little that comes meanwhile is not worth a commit of its own.
          queue.hold(below: Self.handOverBytes)
          commits.begin { [self, commit] in finish(commit) }
        }
      }
    }
  }

  /// Stores a commit after the machine's clock was set, with the records that say so before all others. Where it was set back, time begins anew.
  ///
  /// - Parameters:
  ///   - steps: those that no record says yet.
  ///   - last: the time of the newest commit.
  /// - Returns: the commit's time; `nil` when it could not be stored: then the next one says all of it.
  private func commitStep(
    _ batches: [AppendBatch], _ time: UInt64, _ steps: [ClockStep], isBefore: Bool, after last: UInt64
  ) -> UInt64? {
    if steps.isEmpty { clock.note(ClockStep(from: last, to: time), "the machine's clock is before the newest record") }
    let steps = steps.isEmpty ? clock.read().pending : steps
    // An encoder that fails on its own fixed text is a fault of the program.
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

  /// Has the log say that the clock was set, although nobody appends.
  func recordClock() { _ = queue.submit(AppendBatch(owner: nil)) }

  /// Gives the batches' records their places. Done again when the commit before could not be stored.
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

  /// Stores a commit and tells whoever is concerned what became of it.
  ///
  /// - Returns: false when it could not be stored.
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

  /// Decides what becomes of a request, and puts its records into the commit.
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

  /// Why a numbered append cannot be taken from its source.
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

  /// Every request that hoped for this commit, those included that only repeat one of its events.
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
    // Who has been told of a batch owns it again: whose each is must be known before.
    let told = observers.withLock { $0 }.map { observer in (observer, batches.filter { $0.owner === observer }) }
    for (observer, its) in told { observer.committed(its, next: next) }
  }
}
