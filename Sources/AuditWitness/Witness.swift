import MerkleTree
import Synchronization

/// Cosigns the checkpoints of logs, each only when it continues the last (C2SP tlog-witness). Any thread may call.
///
/// What it has cosigned is on disk before the cosignature leaves this object: a crash can lose an answer, never a memory.
public final class Witness: Sendable {
  /// An answer over HTTP.
  public struct Answer: Sendable, Equatable {
    public var status: Int
    public var contentType = "text/plain; charset=utf-8"
    public var body: String
    /// The log that was asked about, where it is one of this witness.
    public var origin: String?
    /// Size of the checkpoint that was submitted, where one could be read.
    public var size: UInt64?
    /// Size that is cosigned, where the log is one of this witness.
    public var cosignedSize: UInt64?
    /// What the log has signed and this witness refused as no continuation, with the log's own signatures alone; nil otherwise.
    public var refused: SignedNote?
    /// Whether a log of this witness has signed what was submitted.
    public var isOfKnownLog = false
    /// Whether the log has signed two roots of one size: what it refused and what it cosigned last are evidence against the log. Otherwise the
    /// proof did not hold, which may be the fault of whoever submitted it: anybody can, and with any proof.
    public var isEvidence = false
  }

  private let key: SignerKey
  private let directory: WitnessDirectory
  // By the origin's bytes: to a String two canonically equivalent names are equal.
  private let logs: [[UInt8]: WitnessedLog]
  private let now: @Sendable () -> UInt64

  /// - Parameters:
  ///   - directory: where its memory is kept; made when missing. Losing it is losing what the witness is for.
  ///   - key: of the cosignature kind.
  ///   - logs: keys of the logs; several of one name while that log changes its key.
  ///   - now: seconds since 1970.
  /// - Throws: `.misconfigured`, `.unusable`, `.locked`; `.damaged` when a remembered checkpoint is not intact.
  public init(directory: String, key: SignerKey, logs: [VerifierKey], now: @escaping @Sendable () -> UInt64) throws(WitnessError) {
    guard key.verifier.kind == .cosignature else {
      throw WitnessError(
        .misconfigured, "the key \(key.verifier) is a log's, not a witness'; make one with `hubaudit keygen NAME -o FILE --witness`")
    }
    guard !logs.isEmpty else { throw WitnessError(.misconfigured, "there is no log to cosign; give the verifier keys of the logs") }
    var keys: [[UInt8]: [VerifierKey]] = [:]
    for log in logs {
      guard log.kind == .ed25519 else {
        throw WitnessError(.misconfigured, "the key \(log) is a witness', not a log's; give what `hubaudit keygen` printed for the log")
      }
      keys[Array(log.name.utf8), default: []].append(log)
    }
    self.key = key
    self.directory = try WitnessDirectory(directory)
    self.now = now
    var table: [[UInt8]: WitnessedLog] = [:]
    for (origin, keys) in keys {
      table[origin] = try WitnessedLog(keys: keys, witness: key.verifier, directory: self.directory)
    }
    self.logs = table
  }

  /// What this witness remembers: the origins of its logs and how many records it has cosigned of each, in no order.
  public var cosigned: [(origin: String, size: UInt64)] { logs.values.map { ($0.origin, $0.latest.withLock { $0.size }) } }

  /// Answers `add-checkpoint`. Blocks until what is answered is on disk.
  public func addCheckpoint(_ body: [UInt8]) -> Answer {
    let request: AddCheckpointRequest
    do throws(EvidenceError) { request = try AddCheckpointRequest(body) } catch {
      // The only thing that reading a request refuses for its tree: no records, and a root that is not theirs.
      return Answer(status: error.code == .proofMismatch ? 422 : 400, body: "\(error)\n")
    }
    let checkpoint = request.checkpoint.checkpoint
    guard let log = logs[Array(checkpoint.origin.utf8)] else {
      return Answer(status: 404, body: "this witness does not know the log of this origin\n", size: checkpoint.size)
    }
    var answer = Answer(status: 403, body: "", origin: log.origin, size: checkpoint.size)
    do throws(EvidenceError) { try request.checkpoint.verify(origin: log.origin, logKeys: log.keys) } catch {
      answer.body = "\(error)\n"
      return answer
    }
    answer.isOfKnownLog = true
    // From the comparison with what is remembered to the end of the sync nobody else changes it.
    log.latest.withLock { latest in
      answer.cosignedSize = latest.size
      do {
        guard request.oldSize == latest.size else {
          answer.status = 409
          answer.contentType = "text/x.tlog.size"
          answer.body = "\(latest.size)\n"
          return
        }
        try request.proof.verify(oldRoot: latest.root, newRoot: checkpoint.root)
        let cosignature = try key.cosign(checkpoint, time: now())
        let note = try log.note(request.checkpoint, cosignature)
        // The same statement again needs no new memory of it.
        if !note.text.utf8.elementsEqual(latest.note?.text.utf8 ?? "".utf8) { try directory.replace(log.file, with: note.bytes) }
        latest = WitnessedLog.Latest(size: checkpoint.size, root: checkpoint.root, note: note)
        answer.status = 200
        answer.body = "\(cosignature)\n"
        answer.cosignedSize = latest.size
      } catch let error as EvidenceError {
        answer.status = error.code == .proofMismatch ? 422 : 500
        if error.code == .proofMismatch {
          answer.refused = try? log.note(request.checkpoint)
          answer.isEvidence = checkpoint.size == latest.size && checkpoint.root != latest.root
        }
        answer.body = "\(error)\n"
      } catch {
        answer.status = 500
        answer.body = "the checkpoint could not be remembered, so it is not cosigned: \(error)\n"
      }
    }
    return answer
  }

  /// The checkpoint that was cosigned last, of the log whose origin has this SHA-256 in lower-case hex; nil when there is none.
  public func checkpoint(originHash: Substring) -> String? {
    guard let log = logs.values.first(where: { $0.originHash == originHash }) else { return nil }
    return log.latest.withLock { $0.note?.description }
  }
}

/// A log of a witness, and the last checkpoint that was cosigned of it.
final class WitnessedLog: Sendable {
  struct Latest: Sendable {
    var size: UInt64 = 0
    var root = TreeHash.emptyTree
    /// With the log's signature and this witness' cosignature; nil before the first.
    var note: SignedNote?
  }

  let origin: String
  let keys: [VerifierKey]
  let originHash: String
  let latest: Mutex<Latest>

  /// Name of the file in the witness' directory.
  var file: String { "\(originHash).checkpoint" }

  init(keys: [VerifierKey], witness: VerifierKey, directory: WitnessDirectory) throws(WitnessError) {
    origin = keys[0].name
    self.keys = keys
    originHash = TreeHash.sha256(Array(origin.utf8)).hex
    var latest = Latest()
    let path = "\(directory.path)/\(originHash).checkpoint"
    if let bytes = try directory.read("\(originHash).checkpoint") {
      do throws(EvidenceError) {
        let signed = try SignedCheckpoint(bytes)
        guard signed.checkpoint.origin.utf8.elementsEqual(origin.utf8) else {
          throw EvidenceError(.wrongOrigin, "it is of \(signed.checkpoint.origin)")
        }
        // Either signature tells that it was put there; the log's key, or the witness' own, may have been replaced since.
        _ = try signed.note.verify(with: keys + [witness])
        latest = Latest(size: signed.checkpoint.size, root: signed.checkpoint.root, note: signed.note)
      } catch {
        throw WitnessError(
          .damaged,
          "\(path) is not the checkpoint that was cosigned last of \(origin): \(error); restore it from a copy (removed, this witness would "
            + "cosign any past of the log)")
      }
    }
    self.latest = Mutex(latest)
  }

  /// What is remembered and served: the checkpoint with the log's own signatures and the cosignature, without those of strangers.
  func note(_ submitted: SignedCheckpoint, _ cosignature: NoteSignature? = nil) throws(EvidenceError) -> SignedNote {
    var note = try SignedNote(text: submitted.note.text)
    for signature in submitted.note.signatures where keys.contains(where: { $0.matches(signature) }) { note.add(signature) }
    if let cosignature { note.add(cosignature) }
    return note
  }
}
