import MerkleTree
import Synchronization

/// Cosigns a log's checkpoint only if it extends the last one cosigned (C2SP tlog-witness). Any thread may call it.
///
/// A checkpoint is on disk before its cosignature is returned. So a crash may lose an answer, but not what was cosigned.
public final class Witness: Sendable {
  /// An answer over HTTP.
  public struct Answer: Sendable, Equatable {
    /// HTTP status code.
    public var status: Int
    public var contentType = "text/plain; charset=utf-8"
    public var body: String
    /// The log's name; `nil` if this witness does not know the log.
    public var origin: String?
    /// Size of the submitted checkpoint; `nil` if the request is malformed.
    public var size: UInt64?
    /// Size cosigned last, after this request; `nil` unless a known log has signed the checkpoint.
    public var cosignedSize: UInt64?
    /// The refused checkpoint, if a known log signed it and its proof does not hold. Only with the log's own signatures.
    public var refused: SignedNote?
    /// Whether a known log has signed the submitted checkpoint.
    public var isOfKnownLog = false
    /// Whether the log has signed two roots for one size. Then `refused` and the checkpoint cosigned last are evidence against the log.
    /// Otherwise a refusal may be the submitter's fault: anybody may submit a signed checkpoint with a wrong proof.
    public var isEvidence = false
  }

  private let key: SignerKey
  private let directory: WitnessDirectory
  // By the bytes of the origin, since String treats canonically equivalent names as equal.
  private let logs: [[UInt8]: WitnessedLog]
  private let now: @Sendable () -> UInt64

  /// - Parameters:
  ///   - directory: for the cosigned checkpoints; created when missing. Without its old content, a witness cosigns any history.
  ///   - key: of kind `.cosignature`.
  ///   - logs: the logs' keys; several with one name during that log's key change.
  ///   - now: Unix time in seconds.
  /// - Throws: `.misconfigured`, `.unusable`, `.locked`; `.damaged` if a stored checkpoint is malformed or not signed.
  public init(directory: String, key: SignerKey, logs: [VerifierKey], now: @escaping @Sendable () -> UInt64) throws(WitnessError) {
    guard key.verifier.kind == .cosignature else {
      throw WitnessError(
        .misconfigured, "the key \(key.verifier) is a log's, not a witness's; make one with `hubaudit keygen NAME -o FILE --witness`")
    }
    guard !logs.isEmpty else { throw WitnessError(.misconfigured, "no log to cosign; give the verifier keys of the logs") }
    var keys: [[UInt8]: [VerifierKey]] = [:]
    for log in logs {
      guard log.kind == .ed25519 else {
        throw WitnessError(.misconfigured, "the key \(log) is a witness's, not a log's; give what `hubaudit keygen` printed for the log")
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

  /// The known logs with the size cosigned last, in records; 0 before the first. In no order.
  public var cosigned: [(origin: String, size: UInt64)] { logs.values.map { ($0.origin, $0.latest.withLock { $0.size }) } }

  /// Answers an `add-checkpoint` request. Blocks until a cosigned checkpoint is on disk.
  ///
  /// - Parameter body: the body of the request.
  public func addCheckpoint(_ body: [UInt8]) -> Answer {
    let request: AddCheckpointRequest
    do throws(EvidenceError) { request = try AddCheckpointRequest(body) } catch {
      // Parsing throws `.proofMismatch` only for a checkpoint of size 0 whose root is not the empty tree's.
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
    // The lock is held from the comparison to the end of the sync: nobody else may change `latest` in between.
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
        // The same checkpoint again is already on disk.
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
        answer.body = "the checkpoint could not be stored, so it is not cosigned: \(error)\n"
      }
    }
    return answer
  }

  /// The last cosigned checkpoint of a log; `nil` for an unknown log, or before the first.
  ///
  /// - Parameter originHash: SHA-256 of the log's origin, in lower-case hexadecimal.
  public func checkpoint(originHash: Substring) -> String? {
    guard let log = logs.values.first(where: { $0.originHash == originHash }) else { return nil }
    return log.latest.withLock { $0.note?.description }
  }
}

/// A known log, and its last cosigned checkpoint.
final class WitnessedLog: Sendable {
  struct Latest: Sendable {
    var size: UInt64 = 0
    var root = TreeHash.emptyTree
    /// With the log's signatures and the witness's cosignature; `nil` before the first.
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
          throw EvidenceError(.wrongOrigin, "its origin is \(signed.checkpoint.origin)")
        }
        // One valid signature is enough: the log's key or the witness's own key may have been replaced since.
        _ = try signed.note.verify(with: keys + [witness])
        latest = Latest(size: signed.checkpoint.size, root: signed.checkpoint.root, note: signed.note)
      } catch {
        throw WitnessError(
          .damaged,
          "\(path) does not hold the checkpoint that was cosigned last of \(origin): \(error); restore the file from a copy; do not delete "
            + "it: without it the witness would cosign any history of the log")
      }
    }
    self.latest = Mutex(latest)
  }

  /// The note to store and serve: the checkpoint with the log's own signatures and the cosignature, without other signatures.
  func note(_ submitted: SignedCheckpoint, _ cosignature: NoteSignature? = nil) throws(EvidenceError) -> SignedNote {
    var note = try SignedNote(text: submitted.note.text)
    for signature in submitted.note.signatures where keys.contains(where: { $0.matches(signature) }) { note.add(signature) }
    if let cosignature { note.add(cosignature) }
    return note
  }
}
