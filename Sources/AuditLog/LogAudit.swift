import AuditSchema
import FoundationEssentials
import MerkleTree

/// Checks a log record by record for somebody who trusts only a verifier key: position, time, each body's hash, the tree over all headers, and
/// every signed checkpoint.
package struct LogAudit {
  /// Something that is not as it was signed or stored.
  package struct Finding: Sendable, Equatable {
    /// Where: a file with an offset, a record, or a checkpoint.
    package var place: String
    package var sentence: String

    package init(_ place: String, _ sentence: String) {
      self.place = place
      self.sentence = sentence
    }
  }

  /// The tree over all records so far.
  package private(set) var tree: CompactRange
  package private(set) var findings: [Finding] = []
  /// Further findings are counted and not kept.
  package static let maxFindings = 1000
  package private(set) var findingCount = 0
  package private(set) var checkpoints: UInt64 = 0
  /// Number of verified signatures.
  package private(set) var signatures: UInt64 = 0
  /// Who erased a body, when and why, by the record's sequence: as the log says; with keys, only under a signature of one of them. Valid after
  /// `finish`.
  package private(set) var erasures: [UInt64: String] = [:]
  /// Records without a body, and their leaf hashes: an order names both.
  private var erased: [UInt64: TreeHash] = [:]
  private var lastReceivedAt: UInt64 = 0
  private var keys: [VerifierKey]
  /// The log's id, if known: an order to erase is for one log.
  package var logID: [UInt8] = []
  /// Records that were checked: fewer than `tree.size` if some are missing or unreadable.
  package private(set) var records: UInt64 = 0
  /// Checked records that are covered by a checkpoint with the right root and, if there are keys, a good signature.
  package private(set) var coveredRecords: UInt64 = 0
  /// Records after the last such checkpoint, or after the last gap.
  private var uncoveredRecords: UInt64 = 0
  /// The size of the last such checkpoint.
  private var covered: UInt64 = 0
  /// Whether a checkpoint covers more records than there are.
  private var isShort = false
  private var requirements: [Requirement]
  /// Findings that report only a lack of evidence, not a contradiction.
  private var lacks = 0
  /// When the first uncovered record was received.
  private var uncoveredSince: UInt64?
  private let witnessKeys: [VerifierKey]
  /// Leaf hashes of `wantedLeaves`, once those records were checked.
  package private(set) var leaves: [UInt64: TreeHash] = [:]
  private let wantedLeaves: Set<UInt64>
  /// Keys that the log says were added, in records that no trusted signature covers yet.
  private var added: [(key: VerifierKey, sequence: UInt64)] = []
  /// Records about erasures.
  private var claims: [(own: OwnRecord, sequence: UInt64, receivedAt: UInt64)] = []

  /// Required cosignatures.
  private struct Requirement {
    enum Who {
      case witness(VerifierKey)
      case quorum(TrustPolicy)
    }

    var who: Who
    var covered: UInt64?
    /// When the first uncovered record was received.
    var uncoveredSince: UInt64?

    func isMet(by signatures: [VerifiedSignature]) -> Bool {
      switch who {
      case .witness(let key): signatures.contains { $0.key == key }
      case .quorum(let policy): policy.isQuorum(signatures)
      }
    }

    var name: String {
      switch who {
      case .witness(let key): "the cosignature of \(key.name)"
      case .quorum: "the quorum of the policy"
      }
    }
  }

  /// The result of an audit.
  package enum Verdict: String {
    /// Something is missing or is not as it was signed or stored.
    case refuted = "NOT VERIFIED"
    /// Everything fits together, and there is no checkpoint.
    case unsigned = "consistent, but unsigned"
    /// Everything fits the checkpoints; no key was given to check their signatures.
    case unchecked = "consistent, signatures not checked"
    /// Signed, but a required cosignature is missing.
    case notCosigned = "not cosigned"
    case verified
  }

  /// Valid after `finish`.
  package var verdict: Verdict {
    if findingCount > lacks { return .refuted }
    if checkpoints == 0 { return .unsigned }
    if lacks > 0 { return .notCosigned }
    return keys.isEmpty ? .unchecked : .verified
  }

  /// - Parameters:
  ///   - policy: its quorum must have cosigned. The keys of its logs must be among `keys`.
  ///   - keys: those that may have signed checkpoints, and keys of witnesses, each of which has to have cosigned. Keys that the log says were added count from the first checkpoint on that
  ///   covers the record about it and that one of these, or of those that counted before, has signed.
  ///   - wantedLeaves: records whose leaf hashes are kept.
  package init(keys: [VerifierKey], policy: TrustPolicy? = nil, wantedLeaves: Set<UInt64> = []) {
    self.keys = keys.filter { $0.kind != .cosignature }
    let required = keys.filter { $0.kind == .cosignature }
    let others = (policy?.witnesses ?? []).map(\.key).filter { !required.contains($0) }
    witnessKeys = required + others
    requirements = required.map { Requirement(who: .witness($0)) }
    if let policy { requirements.append(Requirement(who: .quorum(policy))) }
    self.wantedLeaves = wantedLeaves
    tree = CompactRange()
  }

  package mutating func report(_ place: String, _ sentence: String) {
    findingCount += 1
    if findings.count < Self.maxFindings { findings.append(Finding(place, sentence)) }
  }

  /// Reports a lack of evidence.
  private mutating func lack(_ sentence: String) {
    lacks += 1
    report("the checkpoints", sentence)
  }

  /// Call it before `finish` if keys were given and no checkpoint was found.
  package mutating func reportUnsigned() {
    lack("there is none, so no signature vouches for the records; name their directory, or one that was kept")
  }

  /// Goes on after unreadable records, with the tree that another source gives for this position.
  package mutating func resume(at tree: CompactRange, receivedAt: UInt64) {
    // Later checkpoints cannot confirm the records before a gap.
    if tree.size != self.tree.size { uncoveredRecords = 0 }
    self.tree = tree
    lastReceivedAt = receivedAt
  }

  // MARK: Records

  /// Checks the next record.
  ///
  /// - Parameters:
  ///   - content: the encoded `Record`, without its tag and length.
  ///   - place: where it is.
  package mutating func add(_ content: UnsafeRawBufferPointer, place: @autoclosure () -> String) {
    let sequence = tree.size
    records += 1
    uncoveredRecords += 1
    guard let record = RecordBytes(content) else {
      tree.append(.leaf(content))
      return report(place(), "record \(sequence) has no header")
    }
    tree.append(.leaf(record.header))
    if wantedLeaves.contains(sequence) { leaves[sequence] = .leaf(record.header) }
    let header = RecordHeaderBytes(record.header)
    guard header.isWhole else { return report(place(), "the header of record \(sequence) cannot be read") }
    if header.sequence != sequence {
      report(place(), "record \(sequence) says that it is number \(header.sequence.map { "\($0)" } ?? "(none)")")
    }
    let isOwn = header.hub.elementsEqual(RecordOrigin.logName.utf8)
    let isClockStep = isOwn && header.kind.map { $0.elementsEqual(LogClock.kind.utf8) } == true
    if header.receivedAt < lastReceivedAt, !isClockStep {
      report(place(), "record \(sequence) says that it came before the one before it, and no record says that the clock was set back")
    }
    if isClockStep {
      // Nobody can tell how much time passed at the step. The time that had passed before it keeps counting.
      func shifted(_ since: UInt64) -> UInt64 { header.receivedAt - min(header.receivedAt, lastReceivedAt - min(lastReceivedAt, since)) }
      uncoveredSince = uncoveredSince.map(shifted)
      for index in requirements.indices { requirements[index].uncoveredSince = requirements[index].uncoveredSince.map(shifted) }
    }
    lastReceivedAt = header.receivedAt
    if uncoveredSince == nil { uncoveredSince = header.receivedAt }
    for index in requirements.indices where requirements[index].uncoveredSince == nil {
      requirements[index].uncoveredSince = header.receivedAt
    }
    if let body = record.body {
      if !SHA256.hash(body).elementsEqual(header.bodySHA256) {
        report(place(), "the body of record \(sequence) is not the one that its header was made for: it was changed")
      }
    } else {
      erased[sequence] = .leaf(record.header)
    }
    if isOwn { note(Array(content)) }
  }

  /// A record that the log wrote itself.
  private struct OwnRecord: Decodable {
    var kind: String?
    var verifier_key: String?
    var erased_sequence: UInt64?
    var reason: String?
    var by: String?
    var statement: String?
  }

  private mutating func note(_ content: [UInt8]) {
    guard let record = try? Record(content), let json = try? record.json(),
      let own = try? JSONDecoder().decode(OwnRecord.self, from: Data(json))
    else { return }
    let kind = record.kind.flatMap(OwnRecordKind.init(rawValue:))
    if kind == .logKeyAdded, let key = own.verifier_key.flatMap({ try? VerifierKey($0) }), !keys.contains(key) {
      added.append((key, record.sequence))
    }
    if kind == .recordErased, own.erased_sequence != nil { claims.append((own, record.sequence, record.receivedAt)) }
  }

  /// Call it after every record has been added.
  package mutating func finish() {
    for (own, place, receivedAt) in claims {
      let sequence = own.erased_sequence!
      guard keys.isEmpty || isOrdered(own) else {
        report("record \(place)", "it says that record \(sequence) was erased, and none of the log's keys has signed the order")
        continue
      }
      // Unreadable records are reported elsewhere. A record that has its body was not erased.
      if let leaf = erased[sequence], statement(of: own)?.leafHash != leaf.bytes {
        report(
          "record \(place)",
          "it says that record \(sequence) was erased, and the order in it is about another record of that number: it was given for a log that went on "
            + "differently, and used again here")
        continue
      }
      erasures[sequence] =
        "record \(sequence) was erased by \(own.by ?? "?") at \(UTCTime.rfc3339(receivedAt)) (record \(place)): \(own.reason ?? "?")"
    }
    judgeCoverage()
    judgeCosignatures()
    for sequence in erased.keys.sorted() where erasures[sequence] == nil {
      report("record \(sequence)", "its body was erased, and no record says by whom and why")
    }
  }

  private mutating func cover(_ size: UInt64) {
    covered = size
    coveredRecords += uncoveredRecords
    uncoveredRecords = 0
    uncoveredSince = nil
  }

  /// A server signs records within a second; this leaves room for a slow disk.
  private static let patienceNanoseconds: UInt64 = 10_000_000_000

  /// Uncovered records may be from the second before a crash. More than that needs another explanation.
  private mutating func judgeCoverage() {
    guard covered < tree.size, checkpoints > 0, !isShort else { return }
    if covered == 0 {
      report("the checkpoints", "none of them covers a record, so no signature vouches for the \(records) there are")
    } else if let uncoveredSince, lastReceivedAt > uncoveredSince, lastReceivedAt - uncoveredSince > Self.patienceNanoseconds {
      report(
        "the checkpoints",
        "they cover \(counted(covered, "record")), and \(tree.size - covered) more came over \((lastReceivedAt - uncoveredSince) / 1_000_000_000) seconds: "
          + "later checkpoints were removed, or the server ran without its key")
    }
  }

  /// A witness is asked soon after a checkpoint is signed, and again until it answers. If it has not cosigned for a minute, it does not vouch for
  /// the records since.
  private static let witnessPatienceNanoseconds: UInt64 = 60_000_000_000

  private mutating func judgeCosignatures() {
    guard tree.size > 0, checkpoints > 0 else { return }
    for requirement in requirements {
      guard let covered = requirement.covered else {
        lack("not one of them has \(requirement.name)")
        continue
      }
      if let since = requirement.uncoveredSince, lastReceivedAt > since, lastReceivedAt - since > Self.witnessPatienceNanoseconds {
        lack(
          "\(requirement.name) is there for \(counted(covered, "record")), and \(tree.size - covered) more came over "
            + "\((lastReceivedAt - since) / 1_000_000_000) seconds")
      }
    }
  }

  /// Whether a checkpoint has all required cosignatures.
  package func isCosigned(_ checkpoint: SignedCheckpoint) -> Bool {
    guard !keys.isEmpty,
      let signatures = try? checkpoint.verify(origin: keys[0].name, logKeys: keys, witnessKeys: witnessKeys)
    else { return false }
    return requirements.allSatisfy { $0.isMet(by: signatures) }
  }

  /// Whether a trusted key has signed the record's statement.
  private func isOrdered(_ own: OwnRecord) -> Bool {
    guard let note = try? SignedNote(Array((own.statement ?? "").utf8)), (try? note.verify(with: keys)) != nil,
      let order = try? ErasureStatement(text: note.text)
    else { return false }
    guard order.origin == keys[0].name, logID.isEmpty || order.logID == logID else { return false }
    return order.sequence == own.erased_sequence && order.by == own.by && order.reason == own.reason
  }

  private func statement(of own: OwnRecord) -> ErasureStatement? {
    (try? SignedNote(Array((own.statement ?? "").utf8))).flatMap { try? ErasureStatement(text: $0.text) }
  }

  /// Records without a body.
  package var erasedCount: Int { erased.count }

  // MARK: Checkpoints

  /// Compares a checkpoint of the current size with the tree and, if there are keys, checks its signatures.
  package mutating func check(_ checkpoint: SignedCheckpoint, place: String) {
    checkpoints += 1
    let told = checkpoint.checkpoint
    guard told.size == tree.size else {
      isShort = isShort || told.size > tree.size
      return report(
        place,
        "it covers \(counted(told.size, "record")), and the log has \(tree.size): records were removed, or an older copy was put back")
    }
    if told.root != tree.root {
      report(
        place,
        "it says that the first \(told.size) records have the root \(told.root), and they have \(tree.root): a record was changed, "
          + "added, removed or moved, or the checkpoint was replaced")
    }
    guard !keys.isEmpty else {
      if told.root == tree.root { cover(told.size) }
      return
    }
    do throws(EvidenceError) {
      let good = try checkpoint.verify(origin: keys[0].name, logKeys: keys, witnessKeys: witnessKeys)
      signatures += UInt64(good.count)
      // A key that a forger added to a forged log is not covered by a trusted signature.
      guard told.root == tree.root else { return }
      cover(told.size)
      for index in requirements.indices where requirements[index].isMet(by: good) {
        requirements[index].covered = told.size
        requirements[index].uncoveredSince = nil
      }
      keys += added.filter { $0.sequence < told.size }.map(\.key)
      added.removeAll { $0.sequence < told.size }
    } catch {
      report(place, "\(error)")
    }
  }
}
