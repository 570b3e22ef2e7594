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
  /// Who, when and why: the records that say that a body was erased, by the record they are about.
  package private(set) var redactions: [UInt64: String] = [:]
  private var erased: [UInt64] = []
  private var lastReceivedAt: UInt64 = 0
  private var keys: [VerifierKey]

  /// - Parameter keys: those that may have signed checkpoints. Keys that the log says were added, under a signature of these, count too.
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
  }

  private mutating func note(_ content: [UInt8]) {
    guard let record = try? Record(content), let json = try? record.json(),
      let own = try? JSONDecoder().decode(OwnRecord.self, from: Data(json))
    else { return }
    if record.kind == "log_key_added", let key = own.verifier_key.flatMap({ try? VerifierKey($0) }), !keys.isEmpty, !keys.contains(key) {
      keys.append(key)
    }
    if record.kind == "record_redacted", let sequence = own.redacted_sequence {
      redactions[sequence] =
        "record \(sequence) was erased by \(own.by ?? "?") at \(UTCTime.rfc3339(record.receivedAt)) (record \(record.sequence)): \(own.reason ?? "?")"
    }
  }

  /// To be called when every record has been added.
  package mutating func finish() {
    for sequence in erased where redactions[sequence] == nil {
      report("record \(sequence)", "its body was erased, and no record says by whom and why")
    }
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
    } catch {
      report(place, "\(error)")
    }
  }
}
