import AuditLog
import AuditSchema
import Logging
import MerkleTree
import NIOCore
import NIOPosix
import Synchronization

/// Submits a log's checkpoints to the witnesses of a policy, and publishes them with the cosignatures.
///
/// Appends never wait for it. Each round submits the newest checkpoint and skips those in between. A late cosignature is still published
/// with its own checkpoint.
public final class CosignatureCollector: Sendable {
  /// Maximum time from opening a connection to the whole answer.
  static let replyLimit = TimeAmount.seconds(10)
  /// Maximum number of witnesses of a policy, since all their signatures go into one note.
  static let maxWitnesses = 64

  private struct Target: Sendable {
    let name: String
    let key: VerifierKey
    let url: WitnessURL
  }

  private struct State {
    var answers: [(witness: Int, reply: WitnessReply)] = []
    var statuses: [WitnessStatus] = []
    var quorumSize: UInt64 = 0
    var run: Task<Void, Never>?
  }

  private let log: AuditLog
  private let publisher: CheckpointPublisher
  private let proofs: LogProofs
  private let policy: TrustPolicy
  private let targets: [Target]
  /// `nil` if no witness has an `https` URL.
  private let trust: WitnessTrust?
  private let logger: Logger
  private let state = Mutex(State())
  private let pokes: AsyncStream<Void>
  private let poke: AsyncStream<Void>.Continuation
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let disk = NIOThreadPool(numberOfThreads: 2)

  /// `nil` if the log's configuration has no witnesses.
  ///
  /// - Parameter rootsFile: PEM file of the roots that sign witnesses' certificates, for `https`; `nil`: the system's.
  /// - Throws: `.misconfigured` if the log has no signing key, the policy is for another log, 0 or more than 64 witnesses have a URL, or the
  ///   roots cannot be used.
  public init?(log: AuditLog, rootsFile: String? = nil, logger: Logger) throws(WitnessError) {
    guard let policy = log.configuration.witnesses else { return nil }
    guard let publisher = log.checkpoints, let evidence = log.store.evidence else {
      throw WitnessError(.misconfigured, "witnesses need signed checkpoints, but the log has no key; set --signing-key too")
    }
    let keys = publisher.verifiers
    guard policy.logs.isEmpty || policy.logs.contains(where: { keys.contains($0.key) }) else {
      throw WitnessError(.misconfigured, "the witness policy does not name this log, whose key is \(keys[0])")
    }
    var targets: [Target] = []
    for witness in policy.witnesses {
      guard let url = witness.url else {
        logger.warning("a witness has no URL in the policy, so it gets no checkpoints", metadata: ["witness": "\(witness.name)"])
        continue
      }
      targets.append(Target(name: witness.name, key: witness.key, url: try WitnessURL(url)))
    }
    guard !targets.isEmpty, policy.witnesses.count <= Self.maxWitnesses else {
      throw WitnessError(
        .misconfigured,
        "the policy has \(policy.witnesses.count) witnesses, \(targets.count) of them with a URL; it must have 1 to \(Self.maxWitnesses)")
    }
    self.log = log
    self.publisher = publisher
    proofs = LogProofs(evidence)
    self.policy = policy
    self.targets = targets
    trust = targets.contains { $0.url.isSecure } ? try WitnessTrust(rootsFile: rootsFile) : nil
    self.logger = logger
    (pokes, poke) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    state.withLock { $0.statuses = targets.map { _ in WitnessStatus() } }
  }

  /// The state of each witness, with its name in the policy.
  public var statuses: [(name: String, status: WitnessStatus)] {
    zip(targets.map(\.name), state.withLock { $0.statuses }).map { ($0, $1) }
  }

  /// Number of records of the newest checkpoint published with a quorum; 0 before the first, and if the policy needs none.
  public var quorumSize: UInt64 { state.withLock { $0.quorumSize } }

  /// Starts the rounds. To be called once.
  public func start() {
    disk.start()
    publisher.add { [poke] _ in poke.yield() }
    state.withLock { $0.run = Task { await run() } }
    poke.yield()
  }

  /// Stops the rounds and cancels running submissions. After a restart, the newest checkpoint is submitted.
  public func stop() async throws {
    poke.finish()
    await state.withLock { $0.run }?.value
    try await group.shutdownGracefully()
    try await disk.shutdownGracefully()
  }

  // MARK: - The rounds

  private func run() async {
    var rounds = CosignatureRounds(policy: policy, keys: targets.map(\.key))
    await withDiscardingTaskGroup(returning: Void.self) { tasks in
      var alarm: Task<Void, Never>?
      for await _ in pokes {
        for action in step(&rounds) {
          switch action {
          case .publish(let checkpoint, let hasQuorum):
            if await publish(checkpoint), hasQuorum { rounds.shown(withQuorum: checkpoint.checkpoint.size) }
          case .submit(let witness, let checkpoint, let oldSize):
            tasks.addTask { [self] in
              let reply = await submit(checkpoint, from: oldSize, to: targets[witness])
              state.withLock { $0.answers.append((witness, reply)) }
              poke.yield()
            }
          }
        }
        show(rounds)
        alarm?.cancel()
        alarm = rounds.wakeAt.map { time in
          Task { [poke] in
            try? await Task.sleep(until: time, clock: .continuous)
            if !Task.isCancelled { poke.yield() }
          }
        }
      }
      alarm?.cancel()
      tasks.cancelAll()
    }
  }

  /// Passes the new answers and the newest checkpoint to the rounds.
  private func step(_ rounds: inout CosignatureRounds) -> [CosignatureRounds.Action] {
    let answers = state.withLock { state in
      defer { state.answers = [] }
      return state.answers
    }
    // Read after the answers: a witness may know any checkpoint stored before it answered.
    guard let newest = newest() else { return [] }
    let now = ContinuousClock.now
    var actions: [CosignatureRounds.Action] = []
    for (witness, reply) in answers {
      let jitter = Double.random(in: 0.5...1)
      actions += rounds.answered(witness, reply, newestSize: newest.checkpoint.size, now: now, jitter: jitter)
    }
    return actions + rounds.advance(newest: newest, now: now)
  }

  private func newest() -> SignedCheckpoint? {
    // The publisher made or verified it, and reports a malformed one.
    publisher.newest.flatMap { try? SignedCheckpoint($0.note) }
  }

  private func submit(_ checkpoint: SignedCheckpoint, from oldSize: UInt64, to target: Target) async -> WitnessReply {
    let size = checkpoint.checkpoint.size
    do {
      let path = try await disk.runIfActive { [proofs] in try proofs.consistency(from: oldSize, size: size) }
      let proof = ConsistencyProof(oldSize: oldSize, newSize: size, path: path)
      let request = try AddCheckpointRequest(proof: proof, checkpoint: checkpoint)
      let reply = try await WitnessConnection.post(
        request.bytes, to: target.url, trust: target.url.isSecure ? trust : nil, within: Self.replyLimit, on: group)
      return WitnessReply(status: reply.status, body: reply.body, to: checkpoint, key: target.key)
    } catch {
      return .failed("\(error)")
    }
  }

  /// - Returns: whether the checkpoint was stored.
  private func publish(_ checkpoint: SignedCheckpoint) async -> Bool {
    let stored = StoredCheckpoint(size: checkpoint.checkpoint.size, storedAt: log.now(), note: checkpoint.bytes)
    do {
      try await disk.runIfActive { [publisher] in try publisher.publish(cosigned: stored) }
      return true
    } catch {
      // The checkpoint is stored without them; the next round collects cosignatures again.
      logger.error("a cosigned checkpoint could not be stored", metadata: ["size": "\(stored.size)", "reason": "\(error)"])
      return false
    }
  }

  /// Publishes the statuses, and logs when a witness begins to fail, fails for another reason, or recovers.
  private func show(_ rounds: CosignatureRounds) {
    let statuses = rounds.statuses
    let before = state.withLock { state in
      defer {
        state.statuses = statuses
        state.quorumSize = rounds.quorumSize
      }
      return state.statuses
    }
    for (target, (old, new)) in zip(targets, zip(before, statuses)) {
      let metadata: Logger.Metadata = [
        "witness": "\(target.name)", "url": "\(target.url)", "cosigned_records": "\(new.cosignedSize)",
        "records": "\(publisher.newest?.size ?? 0)",
      ]
      if let failure = new.failure {
        guard failure != old.failure else { continue }
        let text = metadata.merging(["reason": "\(failure)"]) { $1 }
        if new.isContradicted {
          logger.critical(
            """
            a witness has cosigned another history of this log, so others hold records that this log does not have; was the data directory \
            restored from an older copy, or is its key used by two servers?
            """,
            metadata: text)
        } else {
          logger.warning("a witness does not cosign; the log asks it again later", metadata: text)
        }
      } else if old.failure != nil {
        logger.notice("a witness cosigns again", metadata: metadata)
      } else if old.cosignedSize == 0, new.cosignedSize > 0 {
        logger.info("a witness cosigns", metadata: metadata)
      }
    }
  }
}
