import AuditSchema
import Logging
import Synchronization

/// An append-only log of structured audit records, over any `RecordStore`.
///
/// The same object runs inside a hub, as AG2's `AuditLog` does, and inside the server: events become records by the same rules, one
/// sequencer gives them their positions, and an append returns when its records are on disk.
///
/// The way of a record: `EventTranslator` encodes it into an `AppendBatch`, `Sequencer` seals it and has the store make it durable,
/// `LogTail` and the store give it to those who read or follow.
public final class AuditLog: HubListener, Sendable {
  package let store: any RecordStore
  package let sequencer: Sequencer
  package let tail: LogTail
  package let configuration: AuditLogConfiguration
  package let now: @Sendable () -> UInt64
  /// Gives commits their time.
  package let clock: LogClock
  /// Signs checkpoints; `nil` without a key.
  package let checkpoints: CheckpointPublisher?
  /// Erases bodies; `nil` without a key, which its orders are checked with.
  package let eraser: Eraser?

  private let local: LocalAppender
  /// Appends the log's own records.
  package let own: LocalAppender
  private let subscribers: LocalSubscribers
  private let journal: ProducerJournal
  /// Who has read the log, who was refused, and what was changed about access.
  package let trail: AccessTrail

  /// - Parameters:
  ///   - store: an open store; the log is its only writer from here on.
  ///   - hub: the name under which `append` and the listener methods record, 1 to 256 bytes.
  ///   - configuration: limits and keys.
  ///   - now: Unix time in ns; `nil`: the machine's clock, whose steps are detected.
  ///   - logger: reports clock steps, failed commits and failed subscribers.
  /// - Throws: `StoreError` when the end of the log cannot be read, `RequestError` for a bad name.
  public init(
    store: any RecordStore, hub: String = "local", configuration: AuditLogConfiguration = AuditLogConfiguration(),
    now: (@Sendable () -> UInt64)? = nil, logger: Logger = Logger(label: "hubaudit.log")
  ) throws {
    self.store = store
    self.configuration = configuration
    clock = LogClock(now: now, after: store.start.lastReceivedAt, logger: logger)
    let now = now ?? { UTCTime.now() }
    self.now = now
    let origin = try RecordOrigin(hub: hub)
    tail = LogTail(limitBytes: configuration.tailBytes)
    checkpoints = try Self.publisher(store, configuration: configuration, now: now, logger: logger)
    journal = ProducerJournal(window: configuration.producerRecordsWindow, logger: logger)
    sequencer = try Sequencer(
      store: store, tail: tail, configuration: configuration, clock: clock, now: now, logger: logger,
      report: { [journal] in journal.report($0) })
    local = LocalAppender(sequencer: sequencer, origin: origin, configuration: configuration, now: now)
    subscribers = LocalSubscribers(store: store, sequencer: sequencer, logger: logger)
    sequencer.add(local)
    sequencer.add(subscribers)
    own = LocalAppender(sequencer: sequencer, origin: RecordOrigin.log, configuration: configuration, now: now)
    sequencer.add(own)
    journal.start(own)
    trail = AccessTrail(
      own: own, store: store, mode: configuration.readAuditing, window: configuration.accessRecordsWindow, logger: logger)
    trail.start()
    if let checkpoints, let evidence = store.evidence {
      eraser = Eraser(
        store: store, evidence: evidence, tail: tail, own: own, verifiers: checkpoints.verifiers, logger: logger)
    } else {
      eraser = nil
    }
    if let checkpoints {
      sequencer.add(checkpoints)
      checkpoints.start()
    }
  }

  private static func publisher(
    _ store: any RecordStore, configuration: AuditLogConfiguration, now: @escaping @Sendable () -> UInt64, logger: Logger
  ) throws -> CheckpointPublisher? {
    guard !configuration.signingKeys.isEmpty else { return nil }
    guard let evidence = store.evidence else {
      throw RequestError(.invalidRequest, "the store keeps no tree, so there is nothing to sign; leave the keys out")
    }
    return try CheckpointPublisher(
      evidence: evidence, durableEnd: store.nextSequence, keys: configuration.signingKeys, acceptsNewKey: configuration.acceptsNewKey,
      interval: configuration.checkpointInterval, perSecond: configuration.checkpointsPerSecond, witnesses: configuration.witnesses,
      now: now, logger: logger)
  }

  /// To be called once after opening: carries out erasures that a crash interrupted, records new signing keys and clock steps, and signs a
  /// first checkpoint if there is none.
  public func finishOpening() async throws {
    if clock.status.steps > 0 { sequencer.recordClock() }
    try await eraser?.finishPending()
    try await recordNewKeys()
    // A signed log has a checkpoint before its first record.
    if let checkpoints, checkpoints.newest == nil {
      try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
        checkpoints.covering(0) { result in done.resume(with: result.map { _ in () }.mapError { $0 as any Error }) }
      }
    }
  }

  /// Checks whether the machine's clock was set, and records it. To be called about once a second; appends check too.
  package func watchClock() {
    if clock.watch().wasSet { sequencer.recordClock() }
  }

  /// Records signing keys that have not signed before: so a change of keys is itself in the log.
  private func recordNewKeys() async throws {
    for key in checkpoints?.newKeys ?? [] {
      // A verifier key has no character that JSON must escape.
      let json = "{\"kind\":\"\(OwnRecordKind.logKeyAdded.rawValue)\",\"verifier_key\":\"\(key)\"}"
      _ = try await own.append([.custom(json: Array(json.utf8))])
    }
  }

  /// Stores the waiting appends and closes the store. Appends and reads fail afterwards.
  public func close() throws {
    journal.close()
    trail.close()
    sequencer.close()
    checkpoints?.close()
    for observer in [local, own, subscribers] as [any CommitObserver] { sequencer.remove(observer) }
    if let checkpoints { sequencer.remove(checkpoints) }
    subscribers.end()
    try store.close()
  }

  /// The newest checkpoint that a quorum of `configuration.witnesses` has cosigned; without a quorum in the policy, `newestCheckpoint`. Its size
  /// never goes back under one policy. Under a new policy it stays at the newest checkpoint of the start until the first quorum.
  public var witnessedCheckpoint: StoredCheckpoint? { checkpoints?.witnessed ?? newestCheckpoint }

  /// The newest checkpoint that a quorum of `configuration.witnesses` has cosigned; `nil` before the first, and without a quorum in the policy.
  package var quorumCheckpoint: StoredCheckpoint? { checkpoints?.withQuorum }

  /// The newest signed checkpoint that is stored.
  public var newestCheckpoint: StoredCheckpoint? { checkpoints?.newest ?? store.evidence?.newestCheckpoint }

  /// The durable end: the sequence that the next record will get.
  public var nextSequence: UInt64 { store.nextSequence }

  /// Stored bytes of the records that this object's `append` and listener methods appended.
  public var bytesWritten: UInt64 { local.bytesWritten }

  // MARK: - Appending

  /// Appends the record of one event and returns when it is on disk. An event that makes no record is answered as ignored.
  ///
  /// - Throws: `RequestError`, which says what is wrong with the event, or why nothing can be stored.
  @discardableResult
  public func append(_ event: Event) async throws -> Appended { try await local.append([event]) }

  /// Appends the records of several events, all or none of them.
  @discardableResult
  public func append(_ events: [Event]) async throws -> Appended { try await local.append(events) }

  /// Appends a record of the hub's own kind.
  ///
  /// - Parameter json: the text of one JSON object, kept byte for byte. Its "kind" and "at", if present, become the record's.
  @discardableResult
  public func append(json: [UInt8]) async throws -> Appended { try await local.append([.custom(json: json)]) }

  public func onAgentEvent(_ event: AgentEvent) async throws { try await append(.agent(event)) }
  public func onChannelEvent(_ event: ChannelEvent) async throws { try await append(.channel(event)) }
  public func onExpectationFired(_ event: ExpectationFired) async throws { try await append(.expectationFired(event)) }
  public func onTaskEvent(_ event: TaskEvent) async throws { try await append(.task(event)) }
  public func onTurnFailed(_ event: TurnFailed) async throws { try await append(.turnFailed(event)) }

  // MARK: - Reading and following

  /// All records of the log, in order. For logs that fit into memory; `forEach` works with logs of any size.
  ///
  /// - Throws: `StoreError` when something on disk is damaged.
  public func readAll() throws -> [Record] {
    var records: [Record] = []
    try forEach { records.append($0) }
    return records
  }

  /// Calls `body` with every record from `sequence` on, in order, up to the durable end at the time of the call.
  public func forEach(from sequence: UInt64? = nil, _ body: (Record) throws -> Void) throws {
    let end = store.nextSequence
    let reader = RecordReader(store: store, from: max(sequence ?? 0, store.start.firstSequence))
    while let batch = try reader.next(before: end) {
      for record in try Record.records(inBatch: batch.bytes) { try body(record) }
    }
  }

  /// What `subscribe` returns, to unsubscribe with.
  public struct Subscription: Sendable, Hashable {
    let id: UInt64
  }

  /// Calls `callback` with every record that becomes durable from now on, in log order, one at a time.
  ///
  /// Callbacks run one after the other, in the order of registration. A callback that throws is logged; the others still get the record. A slow
  /// callback delays the other callbacks, but no append, and loses no record: missed records are read from the store.
  public func subscribe(_ callback: @escaping @Sendable (Record) async throws -> Void) -> Subscription {
    subscribers.add(callback)
  }

  /// Ends a subscription; no-op when it has ended.
  public func unsubscribe(_ subscription: Subscription) { subscribers.remove(subscription) }
}
