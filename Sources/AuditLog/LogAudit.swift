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
  package private(set) var redactions: [UInt64: String] = [:]
  private var erased: [UInt64] = []
  private var lastReceivedAt: UInt64 = 0
  private var keys: [VerifierKey]
  /// Keys that the log says were added, by records that no trusted signature covers yet.
  private var added: [(key: VerifierKey, sequence: UInt64)] = []
  /// Records that say that a body was erased.
  private var claims: [(own: OwnRecord, sequence: UInt64, receivedAt: UInt64)] = []

  /// - Parameter keys: those that may have signed checkpoints. Keys that the log says were added count from the first checkpoint on that
  ///   covers the record about it and that one of these, or of those that counted before, has signed.
  package init(keys: [VerifierKey]) {
    self.keys = keys
    tree = CompactRange()
  }

  package mutating func report(_ place: String, _ sentence: String) {
    findingCount += 1
    if findings.count < Self.maxFindings { findings.append(Finding(place, sentence)) }
  }

  /// Goes on behind records that cannot be read, with the tree as something else says that it was.
  package mutating func resume(at tree: CompactRange, receivedAt: UInt64) {
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
    var fields = WireReader(content)
    guard let header = fields.next(), header.number == 1 else {
      tree.append(.leaf(content))
      return report(place(), "record \(sequence) has no header")
    }
    tree.append(.leaf(header.bytes))
    var facts = HeaderFacts()
    guard facts.read(header.bytes) else { return report(place(), "the header of record \(sequence) cannot be read") }
    if facts.sequence != sequence { report(place(), "record \(sequence) says that it is number \(facts.sequence)") }
    if facts.receivedAt < lastReceivedAt { report(place(), "record \(sequence) says that it came before the one before it") }
    lastReceivedAt = facts.receivedAt
    while let field = fields.next() {
      if field.number == 4 { erased.append(sequence) }
      if field.number == 2, SHA256.hash(field.bytes) != facts.bodyHash {
        report(place(), "the body of record \(sequence) is not the one that its header was made for: it was changed")
      }
    }
    if facts.isOwn { note(Array(content)) }
  }

  private struct HeaderFacts {
    var sequence: UInt64 = .max
    var receivedAt: UInt64 = 0
    var isOwn = false
    var bodyHash: [UInt8] = []

    mutating func read(_ header: UnsafeRawBufferPointer) -> Bool {
      var parts = WireReader(header)
      while let part = parts.next() {
        switch part.number {
        case 1: sequence = part.value
        case 2: receivedAt = part.value
        case 3: isOwn = part.bytes.elementsEqual(RecordOrigin.logName.utf8)
        case 8: bodyHash = Array(part.bytes)
        default: break
        }
      }
      return parts.isAtEnd
    }
  }

  /// What the log says of itself.
  private struct OwnRecord: Decodable {
    var kind: String?
    var verifier_key: String?
    var redacted_sequence: UInt64?
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
    if record.kind == "record_redacted", own.redacted_sequence != nil { claims.append((own, record.sequence, record.receivedAt)) }
  }

  /// To be called when every record has been added.
  package mutating func finish() {
    for (own, place, receivedAt) in claims {
      let sequence = own.redacted_sequence!
      guard keys.isEmpty || isOrdered(own) else {
        report("record \(place)", "it says that record \(sequence) was erased, and none of the log's keys has signed the order")
        continue
      }
      redactions[sequence] =
        "record \(sequence) was erased by \(own.by ?? "?") at \(UTCTime.rfc3339(receivedAt)) (record \(place)): \(own.reason ?? "?")"
    }
    for sequence in erased where redactions[sequence] == nil {
      report("record \(sequence)", "its body was erased, and no record says by whom and why")
    }
  }

  /// Whether a trusted key has signed what the record says.
  private func isOrdered(_ own: OwnRecord) -> Bool {
    guard let note = try? SignedNote(Array((own.statement ?? "").utf8)), (try? note.verify(with: keys)) != nil,
      let order = try? RedactionStatement(text: note.text)
    else { return false }
    return order.sequence == own.redacted_sequence && order.by == own.by && order.reason == own.reason
  }

  /// Records without a body.
  package var erasedCount: Int { erased.count }

  // MARK: Checkpoints

  /// Compares a checkpoint of just this many records with the tree, and checks its signatures where there are keys to check them with.
  package mutating func check(_ checkpoint: SignedCheckpoint, place: String) {
    checkpoints += 1
    let told = checkpoint.checkpoint
    guard told.size == tree.size else {
      return report(
        place, "it covers \(told.size) records, and the log has \(tree.size): records were removed, or an older copy was put back")
    }
    if told.root != tree.root {
      report(
        place,
        "it says that the first \(told.size) records have the root \(told.root), and they have \(tree.root): a record was changed, "
          + "added, removed or moved, or the checkpoint was replaced")
    }
    guard !keys.isEmpty else { return }
    do throws(EvidenceError) {
      signatures += UInt64(try checkpoint.verify(origin: keys[0].name, logKeys: keys).count)
      // A key that a forger put into the log of his own making is not under such a signature.
      guard told.root == tree.root else { return }
      keys += added.filter { $0.sequence < told.size }.map(\.key)
      added.removeAll { $0.sequence < told.size }
    } catch {
      report(place, "\(error)")
    }
  }
}
