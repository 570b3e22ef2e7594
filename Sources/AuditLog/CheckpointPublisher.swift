import AuditSchema
import Foundation
import Logging
import MerkleTree
import Synchronization

/// Signs the log's size and root: at most `interval` after an append, and on request. A checkpoint is stored durably before anybody sees it.
///
/// One thread does all of it. Requests that come while a checkpoint is made share the next one.
package final class CheckpointPublisher: CommitObserver {
  /// Told of every checkpoint that is published, also of one that is published again with cosignatures, on the thread that publishes it.
  package typealias Listener = @Sendable (StoredCheckpoint) -> Void
  package typealias Answer = @Sendable (Result<StoredCheckpoint, SchemaError>) -> Void

  private struct State {
    var newest: StoredCheckpoint?
    var durableEnd: UInt64
    /// When the oldest record that no checkpoint covers became durable.
    var uncoveredSince: Date?
    var waiting: [(size: UInt64, answer: Answer)] = []
    /// Whether one is to be made whatever the size: a key is new.
    var isDue: Bool
    var isClosed = false
    var failure: StoreError?
    var listeners: [Listener] = []
  }

  private let evidence: any EvidenceStore
  private let keys: [SignerKey]
  private let origin: String
  private let interval: TimeInterval
  private let now: @Sendable () -> UInt64
  private let logger: Logger
  private let condition = NSCondition()
  // Guarded by `condition`.
  nonisolated(unsafe) private var state: State
  private let ended = DispatchSemaphore(value: 0)
  // Held from storing to showing, so that all that is shown is stored.
  private let storing = Mutex(())

  /// - Parameters:
  ///   - keys: one, or the old and the new one while they change; all named like the log's origin.
  ///   - acceptsNewKey: sign although the newest checkpoint was signed by none of the keys: the old ones are lost.
  /// - Throws: `SchemaError` that says which key does not fit, and what to do.
  init(
    evidence: any EvidenceStore, durableEnd: UInt64, keys: [SignerKey], acceptsNewKey: Bool, interval: Duration,
    now: @escaping @Sendable () -> UInt64, logger: Logger
  ) throws(SchemaError) {
    guard let origin = keys.first?.verifier.name else { throw SchemaError(.internal, "no key to sign checkpoints with") }
    for key in keys where !key.verifier.name.utf8.elementsEqual(origin.utf8) || key.verifier.kind != .ed25519 {
      throw SchemaError(
        .invalidRequest, "the key \(key.verifier) cannot sign checkpoints of \(origin); make one with `hubaudit keygen \(origin)`")
    }
    if let told = evidence.origin, !told.utf8.elementsEqual(origin.utf8) {
      throw SchemaError(.invalidRequest, "the log's origin is \(told) and the key's name is \(origin); use a key of that name")
    }
    self.evidence = evidence
    self.keys = keys
    self.origin = origin
    self.interval = TimeInterval(interval.components.seconds) + TimeInterval(interval.components.attoseconds) / 1e18
    self.now = now
    self.logger = logger
    let newest = evidence.newestCheckpoint
    newKeys = try Self.newKeys(keys, newest: newest, origin: origin, acceptsNewKey: acceptsNewKey)
    state = State(newest: newest, durableEnd: durableEnd, isDue: newest == nil || newest!.size < durableEnd || !newKeys.isEmpty)
  }

  /// Keys that have signed nothing yet, where others have.
  let newKeys: [VerifierKey]

  private static func newKeys(
    _ keys: [SignerKey], newest: StoredCheckpoint?, origin: String, acceptsNewKey: Bool
  ) throws(SchemaError) -> [VerifierKey] {
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
      throw SchemaError(.invalidRequest, "the newest stored checkpoint and the keys do not fit: \(error)")
    }
  }

  func start() {
    let thread = Thread { [self] in run() }
    thread.name = "hubaudit-checkpoints"
    thread.start()
  }

  /// Makes a last checkpoint for what none covers yet, and ends the thread.
  func close() {
    condition.withLock {
      state.isClosed = true
      condition.broadcast()
    }
    ended.wait()
    ended.signal()
  }

  /// The newest one that is stored.
  package var newest: StoredCheckpoint? { condition.withLock { state.newest } }

  /// Why no more checkpoints are made; `nil` while they are.
  package var failure: StoreError? { condition.withLock { state.failure } }

  /// Public halves of the keys that sign.
  package var verifiers: [VerifierKey] { keys.map(\.verifier) }

  package func add(_ listener: @escaping Listener) {
    condition.withLock { state.listeners.append(listener) }
  }

  /// Calls `answer`, on any thread, with a checkpoint that covers at least `size` records, which have to be durable.
  package func covering(_ size: UInt64, answer: @escaping Answer) {
    let now: Result<StoredCheckpoint, SchemaError>? = condition.withLock {
      if let newest = state.newest, newest.size >= size { return .success(newest) }
      if let failure = state.failure { return .failure(SchemaError(.logFailed, failure.message)) }
      if state.isClosed { return .failure(SchemaError(.draining, "the log is closing; connect again")) }
      state.waiting.append((size, answer))
      condition.signal()
      return nil
    }
    if let now { answer(now) }
  }

  package func committed(_ batches: [AppendBatch], next: UInt64) {
    condition.withLock {
      guard next > state.durableEnd else { return }
      state.durableEnd = next
      guard state.uncoveredSince == nil else { return }
      state.uncoveredSince = Date()
      condition.signal()
    }
  }

  // MARK: - The thread

  private func run() {
    while true {
      condition.lock()
      while !state.isDue, state.waiting.isEmpty, !state.isClosed {
        if let since = state.uncoveredSince, state.failure == nil {
          guard condition.wait(until: since.addingTimeInterval(interval)) else { break }
        } else {
          condition.wait()
        }
      }
      let isDue = state.isDue
      state.isDue = false
      state.uncoveredSince = nil
      let isLast = state.isClosed
      let isWanted = state.failure == nil && (state.newest.map { $0.size < state.durableEnd || !newKeys.isEmpty } ?? true)
      condition.unlock()
      if isWanted || !isLast { make(anew: isDue) }
      if isLast {
        answer(takeWaiting(), .failure(SchemaError(.draining, "the log is closing; connect again")))
        ended.signal()
        return
      }
    }
  }

  /// - Parameter anew: also when the newest one covers all: a key is new.
  private func make(anew: Bool) {
    let asked = takeWaiting()
    do {
      let head = try evidence.treeHead()
      // One that covers all is not signed again: that would take the place of one with cosignatures.
      if !anew, let newest, newest.size == head.size { return answer(asked, with: newest) }
      let signed = try SignedCheckpoint(Checkpoint(origin: origin, size: head.size, root: head.root), signedBy: keys)
      let checkpoint = StoredCheckpoint(size: head.size, storedAt: now(), note: signed.bytes)
      try publish(checkpoint)
      answer(asked, with: checkpoint)
    } catch let error as StoreError {
      logger.error("no checkpoint could be made", metadata: ["reason": "\(error.message)"])
      condition.withLock {
        // Without room the next append, or the next request, tries again.
        if error.code != .full { state.failure = error }
      }
      answer(asked, .failure(SchemaError(error.code == .full ? .storageFull : .logFailed, error.message)))
    } catch {
      logger.error("no checkpoint could be signed", metadata: ["reason": "\(error)"])
      answer(asked, .failure(SchemaError(.internal, "no checkpoint could be signed: \(error)")))
    }
  }

  /// Stores a checkpoint, then shows it. Any thread may publish one again that came back from witnesses with their signatures; when a
  /// larger one is there already, it is passed over.
  ///
  /// - Returns: false when it was passed over.
  @discardableResult
  package func publish(_ checkpoint: StoredCheckpoint) throws(StoreError) -> Bool {
    let listeners: [Listener]? = try storing.withLock { _ throws(StoreError) in
      try evidence.store(checkpoint)
      return condition.withLock {
        if let newest = state.newest, newest.size > checkpoint.size { return nil }
        state.newest = checkpoint
        return state.listeners
      }
    }
    for listener in listeners ?? [] { listener(checkpoint) }
    return listeners != nil
  }

  private func takeWaiting() -> [(size: UInt64, answer: Answer)] {
    condition.withLock {
      defer { state.waiting = [] }
      return state.waiting
    }
  }

  private func answer(_ waiting: [(size: UInt64, answer: Answer)], with checkpoint: StoredCheckpoint) {
    for one in waiting {
      one.answer(
        one.size <= checkpoint.size
          ? .success(checkpoint)
          : .failure(SchemaError(.invalidRequest, "the log has \(checkpoint.size) records, not \(one.size)")))
    }
  }

  private func answer(_ waiting: [(size: UInt64, answer: Answer)], _ result: Result<StoredCheckpoint, SchemaError>) {
    for one in waiting { one.answer(result) }
  }
}
