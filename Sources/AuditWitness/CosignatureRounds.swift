import MerkleTree

/// Decides which checkpoint is submitted to which witness, and when it is published with the cosignatures that came back. A value: it is
/// told what happened and the time, and says what is to be done.
///
/// In a round all witnesses get the same checkpoint, the newest at its beginning, so that their cosignatures add up to a quorum. It ends
/// when all have answered, or a little after the quorum is there; where none is needed, after the first cosignature. A witness that failed is
/// left out of rounds for a growing time; one that is slow is left out of those that begin while it thinks, and what it answers then is
/// published with the checkpoint that it was submitted.
package struct CosignatureRounds {
  package typealias Instant = ContinuousClock.Instant

  package enum Action: Equatable {
    /// Submit `checkpoint` to a witness, with the proof that it continues the first `oldSize` records.
    case submit(witness: Int, checkpoint: SignedCheckpoint, oldSize: UInt64)
    /// Store and show the checkpoint again, with what was collected.
    case publish(SignedCheckpoint, hasQuorum: Bool)
  }

  /// How long a cosignature waits for others before it is published.
  package static let settling = Duration.seconds(1)
  package static let minimumDelay = Duration.seconds(1)
  package static let maximumDelay = Duration.seconds(60)
  /// How often a witness may answer a submission with another old size before that counts as a failure.
  package static let corrections = 3

  private struct Peer {
    let key: VerifierKey
    /// What it cosigned last, as far as it has told.
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
  /// That of this round or, between rounds, of the last.
  private var current: Collected?
  /// Those of earlier rounds that some witness still thinks about.
  private var earlier: [Collected] = []
  private var isOpen = false
  private var waiting: Set<Int> = []
  /// Since when the cosignatures of `current` are a quorum or, where none is needed, since when there is one.
  private var enoughAt: Instant?
  private var unpublishedSince: Instant?
  private var isUrgent = false
  /// Records covered by the newest checkpoint that was shown with a quorum.
  package private(set) var quorumSize: UInt64 = 0

  /// - Parameter keys: of those witnesses of the policy that are submitted to.
  package init(policy: TrustPolicy, keys: [VerifierKey]) {
    self.policy = policy
    needsQuorum = !policy.isQuorum([])
    peers = keys.map { Peer(key: $0) }
  }

  package var statuses: [WitnessStatus] { peers.map(\.status) }

  /// Moves on: publishes what is due, ends a round that is over, begins the next when there is something to submit.
  ///
  /// - Parameter newest: the newest checkpoint that is stored.
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

  /// When `advance` has something to do although nothing happens.
  package var wakeAt: Instant? {
    var times: [Instant] = []
    if let unpublishedSince { times.append(unpublishedSince + Self.settling) }
    if isOpen, let enoughAt { times.append(enoughAt + Self.settling) }
    if !isOpen, let text = current?.checkpoint.note.text {
      times += peers.filter { $0.submitted == nil && $0.cosignedText != text }.compactMap(\.retryAt)
    }
    return times.min()
  }

  /// Takes a witness' answer to what it was last submitted.
  ///
  /// - Parameters:
  ///   - newestSize: size of the newest checkpoint of the log, which may have grown since.
  ///   - jitter: 0.5 to 1; the delay before the next attempt is shortened by it.
  package mutating func answered(_ witness: Int, _ reply: WitnessReply, newestSize: UInt64, now: Instant, jitter: Double) -> [Action] {
    guard let submitted = peers[witness].submitted else { return [] }
    switch reply {
    case .holds(let size) where size <= submitted.checkpoint.size && peers[witness].corrections < Self.corrections:
      peers[witness].corrections += 1
      peers[witness].oldSize = size
      return [.submit(witness: witness, checkpoint: submitted, oldSize: size)]
    case .holds(let size):
      peers[witness].oldSize = size
      // When it cosigned that, it does not tell.
      if peers[witness].status.cosignedSize != size { peers[witness].status.cosignedAt = nil }
      peers[witness].status.cosignedSize = size
      if size > newestSize {
        fail(witness, "it has cosigned \(size) records of this log, which has \(newestSize)", contradicted: true, now, jitter)
      } else if size > submitted.checkpoint.size {
        // Somebody else has submitted a newer one; the next round goes on from there.
        submissionEnded(witness, failure: nil)
      } else {
        fail(witness, "it answers a submission that begins at the \(size) records it asked for by asking again", now, jitter)
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

  /// A checkpoint that was to be published is shown, and has a quorum.
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
    // Cosignatures that it was stored with, before a restart.
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
      // A size that it told and this log does not have cannot be proven; asking at 0 makes it tell again.
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

/// How it stands with a witness.
public struct WitnessStatus: Sendable, Equatable {
  /// Records of the newest checkpoint that it has cosigned, as far as it has told; 0 before it has.
  public var cosignedSize: UInt64 = 0
  /// When it cosigned that, by its own clock, Unix seconds; nil where its cosignature was not seen.
  public var cosignedAt: UInt64?
  /// Why the last submission to it was of no use; nil when it was, and before the first.
  public var failure: String?
  /// Whether it says that this log is not the one that it cosigned.
  public var isContradicted = false
  /// Submissions that were of no use.
  public var failures: UInt64 = 0

  public init() {}
}
