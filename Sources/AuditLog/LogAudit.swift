import AuditSchema
import FoundationEssentials
import MerkleTree

/// Checks a log record by record, as somebody who trusts only a verifier key: checksum, position, time, the hash of each body, the tree over
/// all headers, and every signed checkpoint on the way.
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
  /// More findings than this are counted and not kept.
  package static let maxFindings = 1000
  package private(set) var findingCount = 0
  package private(set) var checkpoints: UInt64 = 0
  /// Signatures that were verified.
  package private(set) var signatures: UInt64 = 0
  /// Who, when and why, by the record whose body was erased: what the log says, where there are keys only under a signature of one of them.
  /// After `finish`.
  package private(set) var erasures: [UInt64: String] = [:]
  /// Records without a body, and the leaves that they are: an order names both.
  private var erased: [UInt64: TreeHash] = [:]
  private var lastReceivedAt: UInt64 = 0
  private var keys: [VerifierKey]
  /// The log's id, where it is known: an order to erase is about one log.
  package var logID: [UInt8] = []
  /// Records that were looked at: fewer than `tree.size` where some are missing or cannot be read.
  package private(set) var records: UInt64 = 0
  /// Of the records that were looked at, those that a checkpoint covers whose root, and whose signature where there are keys, was found good.
  package private(set) var coveredRecords: UInt64 = 0
  /// Records since the last such checkpoint, or since the last gap.
  private var uncoveredRecords: UInt64 = 0
  /// The size of the last such checkpoint.
  private var covered: UInt64 = 0
  /// Whether a checkpoint covers more records than there are.
  private var isShort = false
  private var requirements: [Requirement]
  /// Findings that say only that there is less evidence than was asked for.
  private var lacks = 0
  /// When the first record behind those was received.
  private var uncoveredSince: UInt64?
  private let witnessKeys: [VerifierKey]
  /// Leaf hashes of the records that were asked for, once they were passed.
  package private(set) var leaves: [UInt64: TreeHash] = [:]
  private let wantedLeaves: Set<UInt64>
  /// Keys that the log says were added, by records that no trusted signature covers yet.
  private var added: [(key: VerifierKey, sequence: UInt64)] = []
  /// Records that say that a body was erased.
  private var claims: [(own: OwnRecord, sequence: UInt64, receivedAt: UInt64)] = []

  /// Who has to have cosigned.
  private struct Requirement {
    enum Who {
      case witness(VerifierKey)
      case quorum(TrustPolicy)
    }

    var who: Who
    var covered: UInt64?
    /// When the first record behind those was received.
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

  /// What an audit comes to.
  package enum Verdict: String {
    /// Something is not as it was signed or stored.
    case refuted = "NOT VERIFIED"
    /// All fits together, and nobody has signed it.
    case unsigned = "consistent, but unsigned"
    /// All fits to its checkpoints, whoever made them: no key was given.
    case unchecked = "consistent, signatures not checked"
    /// Signed, but not cosigned by all that were asked for.
    case notCosigned = "not cosigned"
    case verified
  }

  /// After `finish`.
  package var verdict: Verdict {
    if findingCount > lacks { return .refuted }
    if checkpoints == 0 { return .unsigned }
    if lacks > 0 { return .notCosigned }
    return keys.isEmpty ? .unchecked : .verified
  }

  /// - Parameters:
  ///   - policy: whose quorum has to have cosigned. The keys of its logs are to be among `keys`.
  ///   - keys: those that may have signed checkpoints, and keys of witnesses, each of which has to have cosigned. Keys that the log says were added count from the first checkpoint on that
  ///   covers the record about it and that one of these, or of those that counted before, has signed.
  ///   - wantedLeaves: records whose leaf hash is to be kept.
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

  /// A finding that there is less evidence than was asked for.
  private mutating func lack(_ sentence: String) {
    lacks += 1
    report("the checkpoints", sentence)
  }

  /// To be called before `finish` where keys were given and no checkpoint was found.
  package mutating func reportUnsigned() {
    lack("there is none, so no signature vouches for the records; name their directory, or one that was kept")
  }

  /// Goes on behind records that cannot be read, with the tree as something else says that it was.
  package mutating func resume(at tree: CompactRange, receivedAt: UInt64) {
    // No later checkpoint says anything of what stands before a gap.
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
      // Nobody can tell how long it took: what had passed until then goes on counting.
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

  /// What the log says of itself.
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
    if record.kind == "log_key_added", let key = own.verifier_key.flatMap({ try? VerifierKey($0) }), !keys.contains(key) {
      added.append((key, record.sequence))
    }
    if record.kind == "record_erased", own.erased_sequence != nil { claims.append((own, record.sequence, record.receivedAt)) }
  }

  /// To be called when every record has been added.
  package mutating func finish() {
    for (own, place, receivedAt) in claims {
      let sequence = own.erased_sequence!
      guard keys.isEmpty || isOrdered(own) else {
        report("record \(place)", "it says that record \(sequence) was erased, and none of the log's keys has signed the order")
        continue
      }
      // What cannot be read is told of elsewhere; what has its body was not erased.
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

  /// A server signs within a second what it has stored; this leaves room for a slow disk.
  private static let patienceNanoseconds: UInt64 = 10_000_000_000

  /// Records behind the last checkpoint may be the second before a crash. More than that has another cause.
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

  /// A witness is asked a moment after a checkpoint was signed, and again when it did not answer. One that has not for a minute is no witness of
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

  /// Whether a checkpoint has all cosignatures that are asked for.
  package func isCosigned(_ checkpoint: SignedCheckpoint) -> Bool {
    guard !keys.isEmpty,
      let signatures = try? checkpoint.verify(origin: keys[0].name, logKeys: keys, witnessKeys: witnessKeys)
    else { return false }
    return requirements.allSatisfy { $0.isMet(by: signatures) }
  }

  /// Whether a trusted key has signed what the record says.
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

  /// Compares a checkpoint of just this many records with the tree, and checks its signatures where there are keys to check them with.
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
      // A key that a forger put into the log of his own making is not under such a signature.
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
