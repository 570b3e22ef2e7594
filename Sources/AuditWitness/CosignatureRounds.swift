import MerkleTree

/// Decides which checkpoint goes to which witness, and when to publish it with the cosignatures. A value: it gets answers and the time, and
/// returns actions.
///
/// In a round, all witnesses get the same checkpoint, the newest at its start, so that their cosignatures form a quorum. The round ends
/// when all have answered, or `settling` after the quorum (without a quorum in the policy: after the first cosignature). A failed witness
/// skips rounds for a growing delay. A slow witness skips the rounds that start before its answer; its late cosignature is published with
/// the checkpoint that it got.
package struct CosignatureRounds {
  package typealias Instant = ContinuousClock.Instant

  package enum Action: Equatable {
    /// Submit `checkpoint` to a witness, with a consistency proof from `oldSize`. `witness`: index in `keys`.
    case submit(witness: Int, checkpoint: SignedCheckpoint, oldSize: UInt64)
    /// Store and publish the checkpoint again, with the cosignatures so far.
    case publish(SignedCheckpoint, hasQuorum: Bool)
  }

  /// Maximum time that a cosignature waits for others before it is published.
  package static let settling = Duration.seconds(1)
  /// The delay before a failed witness is asked again doubles from `2 * minimumDelay` up to `maximumDelay`, and is shortened by jitter.
  package static let minimumDelay = Duration.seconds(1)
  package static let maximumDelay = Duration.seconds(60)
  /// Number of times that a witness may answer one submission with another old size; more count as a failure.
  package static let corrections = 3

  private struct Peer {
    let key: VerifierKey
    /// The size that it cosigned last, as far as known.
    var oldSize: UInt64 = 0
    var submitted: SignedCheckpoint?
    var corrections = 0
    var cosignedText: String?
    var failures = 0
    var retryAt: Instant?
    var status = WitnessStatus()
  }

  /// A checkpoint with the cosignatures so far.
  private struct Collected {
    var checkpoint: SignedCheckpoint
    var verified: [VerifiedSignature]

    mutating func add(_ line: NoteSignature, _ signature: VerifiedSignature) {
      checkpoint.add(line)
      verified.removeAll { $0.key == signature.key }
      verified.append(signature)
    }
  }

  private let policy: TrustPolicy
  private let needsQuorum: Bool
  private var peers: [Peer]
  /// The checkpoint of this round, or between rounds, of the last one.
  private var current: Collected?
  /// Checkpoints of earlier rounds that still lack the answer of a witness.
  private var earlier: [Collected] = []
  private var isOpen = false
  /// Witnesses of this round without an answer.
  private var waiting: Set<Int> = []
  /// When `current` got its quorum; if the policy needs none, its first cosignature.
  private var enoughAt: Instant?
  private var unpublishedSince: Instant?
  /// A quorum is published at once, without `settling`.
  private var isUrgent = false
  /// Number of records of the newest checkpoint published with a quorum.
  package private(set) var quorumSize: UInt64 = 0

  /// - Parameter keys: of the policy's witnesses that have a URL.
  package init(policy: TrustPolicy, keys: [VerifierKey]) {
    self.policy = policy
    needsQuorum = !policy.isQuorum([])
    peers = keys.map { Peer(key: $0) }
  }

  package var statuses: [WitnessStatus] { peers.map(\.status) }

  /// Publishes what is due, ends a round that is over, and begins the next if there is something to submit.
  ///
  /// - Parameter newest: the newest stored checkpoint.
  package mutating func advance(newest: SignedCheckpoint, now: Instant) -> [Action] {
    var actions: [Action] = []
    if let current, isPublicationDue(now) {
      actions.append(.publish(current.checkpoint, hasQuorum: hasQuorum(current)))
      unpublishedSince = nil
      isUrgent = false
    }
    if isOpen, isOver(now) {
      isOpen = false
      waiting = []
    }
    if !isOpen, unpublishedSince == nil {
      take(newest, now)
      begin(&actions, now)
    }
    return actions
  }

  /// When to call `advance` next, if no answer or checkpoint comes before; `nil`: not needed.
  package var wakeAt: Instant? {
    var times: [Instant] = []
    if let unpublishedSince { times.append(unpublishedSince + Self.settling) }
    if isOpen, let enoughAt { times.append(enoughAt + Self.settling) }
    if !isOpen, let text = current?.checkpoint.note.text {
      times += peers.filter { $0.submitted == nil && $0.cosignedText != text }.compactMap(\.retryAt)
    }
    return times.min()
  }

  /// Handles a witness's answer to its last submission.
  ///
  /// - Parameters:
  ///   - newestSize: size of the log's newest checkpoint now.
  ///   - jitter: 0.5 to 1; a retry's delay is multiplied by it.
  package mutating func answered(_ witness: Int, _ reply: WitnessReply, newestSize: UInt64, now: Instant, jitter: Double) -> [Action] {
    guard let submitted = peers[witness].submitted else { return [] }
    switch reply {
    case .holds(let size) where size <= submitted.checkpoint.size && peers[witness].corrections < Self.corrections:
      peers[witness].corrections += 1
      peers[witness].oldSize = size
      return [.submit(witness: witness, checkpoint: submitted, oldSize: size)]
    case .holds(let size):
      peers[witness].oldSize = size
      // Its answer does not say when it cosigned that size.
      if peers[witness].status.cosignedSize != size { peers[witness].status.cosignedAt = nil }
      peers[witness].status.cosignedSize = size
      if size > newestSize {
        fail(witness, "it has cosigned \(size) records of this log, but the log has only \(newestSize)", contradicted: true, now, jitter)
      } else if size > submitted.checkpoint.size {
        // Another submitter was faster with a newer checkpoint. The next round starts from its size.
        submissionEnded(witness, failure: nil)
      } else {
        fail(witness, "it asked for a proof from \(size) records, got it, and asked for the same again", now, jitter)
      }
    case .contradicted(let reason): fail(witness, reason, contradicted: true, now, jitter)
    case .failed(let reason): fail(witness, reason, now, jitter)
    case .cosigned(let line, let signature):
      peers[witness].oldSize = submitted.checkpoint.size
      peers[witness].cosignedText = submitted.note.text
      peers[witness].status.cosignedSize = submitted.checkpoint.size
      peers[witness].status.cosignedAt = signature.time
      defer { submissionEnded(witness, failure: nil) }
      if current?.checkpoint.note.text == submitted.note.text {
        add(line, signature, now)
      } else if let index = earlier.firstIndex(where: { $0.checkpoint.note.text == submitted.note.text }) {
        earlier[index].add(line, signature)
        return [.publish(earlier[index].checkpoint, hasQuorum: hasQuorum(earlier[index]))]
      }
    }
    return []
  }

  /// Notes that a checkpoint with a quorum was published.
  package mutating func shown(withQuorum size: UInt64) { quorumSize = max(quorumSize, size) }

  // MARK: - Steps

  private func hasQuorum(_ collected: Collected) -> Bool { needsQuorum && policy.isQuorum(collected.verified) }

  private func isPublicationDue(_ now: Instant) -> Bool {
    guard let unpublishedSince else { return false }
    return isUrgent || waiting.isEmpty || now >= unpublishedSince + Self.settling
  }

  private func isOver(_ now: Instant) -> Bool {
    if waiting.isEmpty { return true }
    return enoughAt.map { now >= $0 + Self.settling } ?? false
  }

  private mutating func take(_ newest: SignedCheckpoint, _ now: Instant) {
    if let last = current {
      let checkpoint = last.checkpoint
      if checkpoint.note.text == newest.note.text || checkpoint.checkpoint.size > newest.checkpoint.size { return }
      if isSubmitted(checkpoint) { earlier.append(last) }
    }
    // The cosignatures that were stored with it before a restart.
    let stored = (try? newest.note.verifiedSignatures(of: policy.witnesses.map(\.key))) ?? []
    let collected = Collected(checkpoint: newest, verified: stored)
    for index in peers.indices {
      guard peers[index].status.cosignedAt == nil, let old = stored.first(where: { $0.key == peers[index].key }) else { continue }
      peers[index].status.cosignedSize = newest.checkpoint.size
      peers[index].status.cosignedAt = old.time
    }
    current = collected
    enoughAt = hasQuorum(collected) ? now : nil
    if enoughAt != nil { quorumSize = max(quorumSize, newest.checkpoint.size) }
  }

  private func isSubmitted(_ checkpoint: SignedCheckpoint) -> Bool {
    peers.contains { $0.submitted?.note.text == checkpoint.note.text }
  }

  private mutating func begin(_ actions: inout [Action], _ now: Instant) {
    guard let current = current?.checkpoint else { return }
    waiting = []
    for index in peers.indices {
      guard peers[index].submitted == nil, peers[index].cosignedText != current.note.text, peers[index].retryAt.map({ $0 <= now }) ?? true
      else { continue }
      peers[index].submitted = current
      peers[index].corrections = 0
      waiting.insert(index)
      // No proof exists from a size that this log does not have. A submission with old size 0 makes the witness tell its size again.
      let oldSize = peers[index].oldSize <= current.checkpoint.size ? peers[index].oldSize : 0
      actions.append(.submit(witness: index, checkpoint: current, oldSize: oldSize))
    }
    isOpen = !waiting.isEmpty
  }

  private mutating func add(_ line: NoteSignature, _ signature: VerifiedSignature, _ now: Instant) {
    current?.add(line, signature)
    if unpublishedSince == nil { unpublishedSince = now }
    guard enoughAt == nil, let current, !needsQuorum || hasQuorum(current) else { return }
    enoughAt = now
    isUrgent = needsQuorum
  }

  private mutating func submissionEnded(_ witness: Int, failure: String?) {
    peers[witness].submitted = nil
    earlier = earlier.filter { isSubmitted($0.checkpoint) }
    waiting.remove(witness)
    peers[witness].status.failure = failure
    if failure == nil {
      peers[witness].status.isContradicted = false
      peers[witness].failures = 0
      peers[witness].retryAt = nil
    }
  }

  private mutating func fail(_ witness: Int, _ reason: String, contradicted: Bool = false, _ now: Instant, _ jitter: Double) {
    submissionEnded(witness, failure: reason)
    peers[witness].status.isContradicted = contradicted
    peers[witness].status.failures += 1
    var delay = Self.minimumDelay
    for _ in 0..<min(peers[witness].failures, 16) where delay < Self.maximumDelay { delay = min(delay * 2, Self.maximumDelay) }
    peers[witness].failures += 1
    peers[witness].retryAt = now + delay * jitter
  }
}

/// The state of a witness, as the log sees it.
public struct WitnessStatus: Sendable, Equatable {
  /// Number of records of the newest checkpoint that it has cosigned, as far as known; 0 before the first.
  public var cosignedSize: UInt64 = 0
  /// When it cosigned that checkpoint, by its own clock, as Unix time in seconds; `nil` if its cosignature was not seen.
  public var cosignedAt: UInt64?
  /// Why the last submission failed; `nil` after a success, and before the first.
  public var failure: String?
  /// Whether it has cosigned another history of this log.
  public var isContradicted = false
  /// Number of failed submissions.
  public var failures: UInt64 = 0

  public init() {}
}
