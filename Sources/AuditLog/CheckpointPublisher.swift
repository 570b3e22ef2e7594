import AuditSchema
import Foundation
import Logging
import MerkleTree
import Synchronization

/// Signs the log's size and root: within `interval` of an append, and on request at a bounded rate. A checkpoint is stored durably before
/// anybody sees it.
///
/// One thread does this. Requests that come while it makes a checkpoint share the next one.
package final class CheckpointPublisher: CommitObserver {
  /// Is told of every published checkpoint, also when one is published again with cosignatures, on the publishing thread.
  package typealias Listener = @Sendable (StoredCheckpoint) -> Void
  package typealias Answer = @Sendable (Result<StoredCheckpoint, RequestError>) -> Void

  private struct State {
    var newest: StoredCheckpoint?
    /// With a quorum in the policy: the newest checkpoint that has it, or the newest one of the start if none had it. Else `nil`.
    var witnessed: StoredCheckpoint?
    /// The newest that has the quorum; nil before there is one.
    var withQuorum: StoredCheckpoint?
    var durableEnd: UInt64
    /// When the oldest record that no checkpoint covers became durable.
    var uncoveredSince: MonotonicTime?
    var waiting: [(size: UInt64, answer: Answer)] = []
    /// A checkpoint is to be made at once: at the start, for uncovered records or a new key.
    var isWanted: Bool
    var isClosed = false
    var failure: StoreError?
    var listeners: [Listener] = []
    var allowance: CheckpointAllowance
  }

  private let evidence: any EvidenceStore
  private let keys: [SignerKey]
  private let origin: String
  private let interval: Duration
  /// `nil`: the policy needs no quorum.
  private let quorum: TrustPolicy?
  private let now: @Sendable () -> UInt64
  private let logger: Logger
  private let state: ConditionLock<State>
  private let ended = DispatchSemaphore(value: 0)
  // Held from storing to showing a checkpoint, so that nothing is shown that is not stored, and sizes ascend.
  private let storing = Mutex(())

  /// - Parameters:
  ///   - keys: one, or the old and the new one during a change; all have the log's origin as their name.
  ///   - acceptsNewKey: sign even though none of the keys has signed the newest checkpoint.
  ///   - perSecond: maximum checkpoints a second that are signed on request.
  ///   - witnesses: the policy of `witnessed`.
  /// - Throws: `RequestError` that says which key does not fit, and what to do.
  init(
    evidence: any EvidenceStore, durableEnd: UInt64, keys: [SignerKey], acceptsNewKey: Bool, interval: Duration,
    perSecond: Int, witnesses: TrustPolicy?, now: @escaping @Sendable () -> UInt64, logger: Logger
  ) throws(RequestError) {
    guard let origin = keys.first?.verifier.name else { throw RequestError(.internal, "no key to sign checkpoints with") }
    for key in keys where !key.verifier.name.utf8.elementsEqual(origin.utf8) || key.verifier.kind != .ed25519 {
      throw RequestError(
        .invalidRequest, "the key \(key.verifier) cannot sign checkpoints of \(origin); make one with `hubaudit keygen \(origin)`")
    }
    if let told = evidence.origin, !told.utf8.elementsEqual(origin.utf8) {
      throw RequestError(.invalidRequest, "the log's origin is \(told) and the key's name is \(origin); use a key of that name")
    }
    self.evidence = evidence
    self.keys = keys
    self.origin = origin
    self.interval = interval
    quorum = witnesses.flatMap { $0.isQuorum([]) ? nil : $0 }
    self.now = now
    self.logger = logger
    let newest = evidence.newestCheckpoint
    if newest == nil, evidence.origin != nil, durableEnd > 0, !acceptsNewKey {
      throw RequestError(
        .invalidRequest,
        "the log was begun as a signed one and holds \(durableEnd) records, and there is no stored checkpoint: put the directory of the "
          + "checkpoints back (--checkpoints); if it is lost, --accept-new-key goes on without it")
    }
    newKeys = try Self.newKeys(keys, newest: newest, origin: origin, acceptsNewKey: acceptsNewKey)
    if let newest, durableEnd > newest.size {
      logger.notice(
        "records that no checkpoint covers yet are signed as they are found",
        metadata: ["from_sequence": "\(newest.size)", "records": "\(durableEnd - newest.size)"])
    }
    let withQuorum: StoredCheckpoint?
    do {
      withQuorum = try quorum.flatMap { try Self.witnessed($0, keys: keys.map(\.verifier), evidence) }
    } catch { throw RequestError(.internal, "the stored checkpoints cannot be read: \(error)") }
    // Without a quorum so far, the newest checkpoint stays published until the first quorum, so that the published size never shrinks.
    state = ConditionLock(
      State(
        newest: newest, witnessed: quorum == nil ? nil : withQuorum ?? newest, withQuorum: withQuorum, durableEnd: durableEnd,
        isWanted: newest == nil || newest!.size < durableEnd || !newKeys.isEmpty,
        allowance: CheckpointAllowance(perSecond: perSecond, now: .now)))
  }

  /// Keys that have not signed the newest checkpoint.
  let newKeys: [VerifierKey]

  private static func newKeys(
    _ keys: [SignerKey], newest: StoredCheckpoint?, origin: String, acceptsNewKey: Bool
  ) throws(RequestError) -> [VerifierKey] {
    guard let newest else { return [] }
    let verifiers = keys.map(\.verifier)
    do throws(EvidenceError) {
      let signed = try SignedCheckpoint(newest.note)
      guard signed.checkpoint.origin.utf8.elementsEqual(origin.utf8) else {
        throw EvidenceError(.wrongOrigin, "it is of \(signed.checkpoint.origin), and the key is named \(origin)")
      }
      let known = try signed.note.verifiedSignatures(of: verifiers).map(\.key)
      if known.isEmpty, !acceptsNewKey {
        throw EvidenceError(
          .unsigned,
          "none of the keys given has signed it; while a key is changed, give the old one too; if the old one is lost, --accept-new-key "
            + "goes on without it, and everybody who trusts the old key will see that")
      }
      return verifiers.filter { !known.contains($0) }
    } catch {
      throw RequestError(.invalidRequest, "the newest stored checkpoint and the keys do not fit: \(error)")
    }
  }

  func start() {
    NamedThread.start("hubaudit-signer") { [self] in run() }
  }

  /// Signs a last checkpoint for uncovered records and ends the thread.
  func close() {
    state.change { $0.isClosed = true }
    ended.wait()
    ended.signal()
  }

  /// The newest stored checkpoint.
  package var newest: StoredCheckpoint? { state.withLock { $0.newest } }

  /// With a quorum in the policy: the newest checkpoint that has it, or the newest one of the start until then. Else the newest checkpoint. Its
  /// size never goes back while the process runs.
  package var witnessed: StoredCheckpoint? {
    state.withLock { quorum == nil ? $0.newest : $0.witnessed }
  }

  /// The newest checkpoint with the policy's quorum; `nil` before the first, and without a quorum in the policy.
  package var withQuorum: StoredCheckpoint? { state.withLock { $0.withQuorum } }

  /// Why no more checkpoints are signed; `nil` while they are.
  package var failure: StoreError? { state.withLock { $0.failure } }

  /// The public halves of the signing keys.
  package var verifiers: [VerifierKey] { keys.map(\.verifier) }

  package func add(_ listener: @escaping Listener) {
    state.withLock { $0.listeners.append(listener) }
  }

  /// Calls `answer`, on any thread, with a checkpoint that covers at least `size` records. They must be durable.
  package func covering(_ size: UInt64, answer: @escaping Answer) {
    let now: Result<StoredCheckpoint, RequestError>? = state.withLock { state in
      if let newest = state.newest, newest.size >= size { return .success(newest) }
      if let failure = state.failure { return .failure(RequestError(.logFailed, failure.message)) }
      if state.isClosed { return .failure(RequestError(.draining, "the log is closing; connect again")) }
      state.waiting.append((size, answer))
      return nil
    }
    if let now { answer(now) } else { state.wakeAll() }
  }

  package func committed(_ batches: [AppendBatch], next: UInt64) {
    let isFirst = state.withLock { state in
      guard next > state.durableEnd else { return false }
      state.durableEnd = next
      return state.uncoveredSince == nil
    }
    // Only the first uncovered record changes the time at which the thread must wake.
    if isFirst { state.change { $0.uncoveredSince = $0.uncoveredSince ?? .now } }
  }

  // MARK: - The thread

  /// The thread's next work.
  private struct Order {
    var isWanted: Bool
    var isUseful: Bool
    var isLast: Bool
  }

  private func run() {
    while true {
      let order = state.wait { look(&$0) }
      if order.isUseful || !order.isLast { make(anew: order.isWanted) }
      if order.isLast {
        answer(takeWaiting(), .failure(RequestError(.draining, "the log is closing; connect again")))
        ended.signal()
        return
      }
    }
  }

  /// Whether it is time for a checkpoint, or for the end.
  private func look(_ state: inout State) -> ConditionLock<State>.Look<Order> {
    if !state.isWanted, !state.isClosed {
      let now = MonotonicTime.now
      var wakeAt: MonotonicTime?
      var isTime = false
      if !state.waiting.isEmpty {
        let wait = state.allowance.wait(now: now)
        if wait == .zero {
          state.allowance.take()
          isTime = true
        } else {
          wakeAt = now.advanced(by: wait)
        }
      }
      if !isTime, let since = state.uncoveredSince, state.failure == nil {
        let due = since.advanced(by: interval)
        if due.nanoseconds <= now.nanoseconds { isTime = true }
        if due.nanoseconds < wakeAt?.nanoseconds ?? .max { wakeAt = due }
      }
      if !isTime { return wakeAt.map { .waitUntil($0) } ?? .wait }
    }
    let order = Order(
      isWanted: state.isWanted,
      isUseful: state.failure == nil && (state.newest.map { $0.size < state.durableEnd || !newKeys.isEmpty } ?? true),
      isLast: state.isClosed)
    state.isWanted = false
    state.uncoveredSince = nil
    return .found(order)
  }

  /// - Parameter anew: sign even if the newest checkpoint covers everything, because a key is new.
  private func make(anew: Bool) {
    let asked = takeWaiting()
    do {
      let head = try evidence.treeHead()
      // Signing again would replace a checkpoint that has cosignatures.
      if !anew, let newest, newest.size == head.size { return answer(asked, with: newest) }
      let signed = try SignedCheckpoint(Checkpoint(origin: origin, size: head.size, root: head.root), signedBy: keys)
      let checkpoint = StoredCheckpoint(size: head.size, storedAt: now(), note: signed.bytes)
      try publish(checkpoint)
      answer(asked, with: checkpoint)
    } catch let error as StoreError {
      logger.error("no checkpoint could be made", metadata: ["reason": "\(error.message)"])
      // If the disk is full, the next append or request tries again.
      if error.code != .full { state.withLock { $0.failure = error } }
      answer(asked, .failure(RequestError(error.code == .full ? .storageFull : .logFailed, error.message)))
    } catch {
      logger.error("no checkpoint could be signed", metadata: ["reason": "\(error)"])
      answer(asked, .failure(RequestError(.internal, "no checkpoint could be signed: \(error)")))
    }
  }

  /// Stores a new checkpoint, then shows it.
  private func publish(_ checkpoint: StoredCheckpoint) throws(StoreError) {
    let listeners: [Listener] = try storing.withLock { _ throws(StoreError) in
      try evidence.store(checkpoint)
      return state.withLock { state in
        state.newest = checkpoint
        if quorum != nil, state.witnessed == nil { state.witnessed = checkpoint }
        return state.listeners
      }
    }
    for listener in listeners { listener(checkpoint) }
  }

  /// Stores a checkpoint again with the cosignatures of witnesses. Shows it if it is the newest, or the newest with a quorum; else it is only
  /// stored. A checkpoint that comes too late to be stored is not shown. Any thread may call.
  package func publish(cosigned checkpoint: StoredCheckpoint) throws(StoreError) {
    let isWitnessed = quorum.map { Self.isWitnessed(checkpoint, $0, keys: verifiers) } ?? false
    let listeners: [Listener] = try storing.withLock { _ throws(StoreError) in
      guard try evidence.store(cosigned: checkpoint) else { return [] }
      return state.withLock { state in
        if checkpoint.size == state.newest?.size { state.newest = checkpoint }
        if isWitnessed, checkpoint.size >= state.witnessed?.size ?? 0 { state.witnessed = checkpoint }
        if isWitnessed, checkpoint.size >= state.withQuorum?.size ?? 0 { state.withQuorum = checkpoint }
        return state.listeners
      }
    }
    for listener in listeners { listener(checkpoint) }
  }

  private static func isWitnessed(_ checkpoint: StoredCheckpoint, _ policy: TrustPolicy, keys: [VerifierKey]) -> Bool {
    guard let signed = try? SignedCheckpoint(checkpoint.note), signed.checkpoint.size == checkpoint.size,
      let good = try? signed.verify(origin: keys[0].name, logKeys: keys, witnessKeys: policy.witnesses.map(\.key))
    else { return false }
    return policy.isQuorum(good)
  }

  private static func witnessed(
    _ policy: TrustPolicy, keys: [VerifierKey], _ evidence: any EvidenceStore
  ) throws(StoreError) -> StoredCheckpoint? {
    try evidence.newestCosigned { isWitnessed($0, policy, keys: keys) }
  }

  private func takeWaiting() -> [(size: UInt64, answer: Answer)] {
    state.withLock { state in
      defer { state.waiting = [] }
      return state.waiting
    }
  }

  private func answer(_ waiting: [(size: UInt64, answer: Answer)], with checkpoint: StoredCheckpoint) {
    for one in waiting {
      one.answer(
        one.size <= checkpoint.size
          ? .success(checkpoint)
          : .failure(RequestError(.invalidRequest, "the log has \(checkpoint.size) records, not \(one.size)")))
    }
  }

  private func answer(_ waiting: [(size: UInt64, answer: Answer)], _ result: Result<StoredCheckpoint, RequestError>) {
    for one in waiting { one.answer(result) }
  }
}
