import AccessControl
import AuditLog
import AuditSchema
import MerkleTree
import NIOCore

/// Makes the proofs of a proven append, a few in each step. `@unchecked Sendable`: one job at a time uses it.
private final class ProofSteps: @unchecked Sendable {
  private static let stepProofs = 16

  private let proofs: LogProofs
  private let size: UInt64
  private var left: ArraySlice<UInt64>
  private var paths: [[UInt8]] = []

  init(_ proofs: LogProofs, of sequences: [UInt64], size: UInt64) {
    self.proofs = proofs
    self.size = size
    left = sequences[...]
  }

  /// - Returns: for each record the concatenated hashes of its proof; `nil` while more steps are needed.
  func step() throws -> [[UInt8]]? {
    for sequence in left.prefix(Self.stepProofs) { paths.append(try proofs.inclusion(of: sequence, size: size).flatMap(\.bytes)) }
    left = left.dropFirst(Self.stepProofs)
    return left.isEmpty ? paths : nil
  }
}

/// Requests for evidence: checkpoints, proofs, erasures, and appends that are answered when a checkpoint covers them.
extension Session {
  /// Maximum records of one proven append: their proofs go into one frame.
  static let provenEvents = 256
  /// Maximum requests of one connection that wait for a checkpoint.
  static let checkpointWaits = 1024

  private func unsigned(_ what: String) -> RequestError {
    RequestError(
      .unsupportedRequest, "\(what): this log signs no checkpoints; start the server with a key (hubaudit keygen, serve --signing-key)")
  }

  func checkProven(_ request: AppendRequest) throws(RequestError) {
    guard shard.log.checkpoints != nil else { throw unsigned("the append asks for proof") }
    guard request.count <= Self.provenEvents else {
      throw RequestError(
        .limitExceeded, "the append has \(request.count) events and asks for proof; \(Self.provenEvents) are the limit; split it")
    }
  }

  /// Answers a `CheckpointRequest`.
  func checkpoint(_ id: UInt64, covering size: UInt64?) throws(RequestError) {
    guard let size else {
      guard let newest = shard.log.newestCheckpoint else { throw unsigned("there is no checkpoint") }
      return write(shard.encoder.checkpoint(id: id, note: newest.note))
    }
    guard let checkpoints = shard.log.checkpoints else { throw unsigned("no checkpoint can be made") }
    guard size <= shard.log.nextSequence else {
      throw RequestError(.invalidRequest, "the log has \(shard.log.nextSequence) records; a checkpoint over \(size) cannot be made")
    }
    whenCovered(checkpoints, covering: size) { session, result in
      switch result {
      case .success(let checkpoint): session.write(session.shard.encoder.checkpoint(id: id, note: checkpoint.note))
      case .failure(let error): session.write(session.shard.encoder.error(id: id, error))
      }
    }
  }

  /// Answers a `ProofRequest`.
  func prove(_ id: UInt64, _ request: ProofRequest) throws(RequestError) {
    guard let evidence = shard.log.store.evidence else { throw unsigned("there is no proof") }
    let proofs = LogProofs(evidence)
    if let size = request.size { return prove(id, request.subject, proofs, size: size, checkpoint: nil) }
    let (needed, subject): (UInt64, String) =
      switch request.subject {
      case .inclusion(let sequence): (sequence == .max ? .max : sequence + 1, "record \(sequence), which is not there")
      case .consistency(let size): (size, "a tree of \(size)")
      }
    guard needed <= shard.log.nextSequence else {
      throw RequestError(.invalidRequest, "the log has \(shard.log.nextSequence) records; nothing can be proven of \(subject)")
    }
    // The witnessed checkpoint if it covers the record. Newer records do not wait for witnesses.
    for checkpoint in [shard.log.witnessedCheckpoint, shard.log.newestCheckpoint] {
      guard let checkpoint, checkpoint.size >= needed else { continue }
      return prove(id, request.subject, proofs, size: checkpoint.size, checkpoint: checkpoint.note)
    }
    guard let checkpoints = shard.log.checkpoints else { throw unsigned("no checkpoint covers what is to be proven") }
    whenCovered(checkpoints, covering: needed) { session, result in
      switch result {
      case .success(let checkpoint):
        session.prove(id, request.subject, proofs, size: checkpoint.size, checkpoint: checkpoint.note)
      case .failure(let error): session.write(session.shard.encoder.error(id: id, error))
      }
    }
  }

  private func prove(_ id: UInt64, _ subject: ProofRequest.Subject, _ proofs: LogProofs, size: UInt64, checkpoint: [UInt8]?) {
    runJob { _ in
      switch subject {
      case .inclusion(let sequence): try proofs.inclusion(of: sequence, size: size)
      case .consistency(let oldSize): try proofs.consistency(from: oldSize, size: size)
      }
    } then: { session, result in
      switch result {
      case .success(let hashes):
        session.write(
          session.shard.encoder.proof(id: id, TreeProof(size: size, hashes: hashes.map(\.bytes), checkpoint: checkpoint)))
      case .failure(let error): session.write(session.shard.encoder.error(id: id, RequestError(storeError: error)))
      }
    }
  }

  /// Answers an append when a checkpoint covers all its records.
  ///
  /// The records are stored, so the answer is never an error. If no proof can be made, the answer has none, and a `ProofRequest` says why.
  func answerProven(_ id: UInt64, _ appended: Appended) {
    guard let checkpoints = shard.log.checkpoints, let evidence = shard.log.store.evidence, let last = appended.sequences.last else {
      return write(shard.encoder.appended(id: id, appended))
    }
    let proofs = LogProofs(evidence)
    whenCovered(checkpoints, covering: last + 1) { session, result in
      switch result {
      case .failure: session.write(session.shard.encoder.appended(id: id, appended))
      case .success(let checkpoint):
        session.beginLate()
        let steps = ProofSteps(proofs, of: appended.sequences, size: checkpoint.size)
        session.runSteps {
          try steps.step()
        } then: { session, result in
          switch result {
          case .success(let paths):
            var appended = appended
            appended.checkpoint = checkpoint.note
            appended.proofs = paths
            session.write(session.shard.encoder.appended(id: id, appended))
          case .failure: session.write(session.shard.encoder.appended(id: id, appended))
          }
          session.finishLate()
        }
      }
    }
  }

  /// Answers an `Erase`.
  func erase(_ id: UInt64, _ statement: [UInt8]) throws(RequestError) {
    guard let eraser = shard.log.eraser else {
      throw RequestError(.notPermitted, unsigned("nobody can order an erasure").message)
    }
    beginLate()
    let reference = NIOLoopBound(self, eventLoop: shard.loop)
    let principal = access.identity?.principal
    Task { [loop = shard.loop, trail = shard.log.trail] in
      let result: Result<UInt64, any Error>
      do {
        result = .success(
          try await eraser.erase(statement) { by, sequence in
            if let principal { try await trail.eraseOrdered(principal: principal, by: by, sequence: sequence) }
          })
      } catch { result = .failure(error) }
      loop.execute {
        let session = reference.value
        switch result {
        case .success(let sequence): session.write(session.shard.encoder.erased(id: id, sequence: sequence))
        case .failure(let error as StoreError) where error.code == .invalid:
          session.write(session.shard.encoder.error(id: id, RequestError(.invalidRequest, error.message)))
        case .failure(let error): session.write(session.shard.encoder.error(id: id, RequestError(storeError: error)))
        }
        session.finishLate()
        session.shard.flush()
      }
    }
  }

  /// Calls `then` on the loop with a checkpoint that covers `size` records.
  private func whenCovered(
    _ checkpoints: CheckpointPublisher, covering size: UInt64,
    then: @escaping @Sendable (Session, Result<StoredCheckpoint, RequestError>) -> Void
  ) {
    guard checkpointWaits < Self.checkpointWaits else {
      let limit = Self.checkpointWaits
      return then(self, .failure(RequestError(.overloaded, "\(limit) requests of this connection wait for a checkpoint; ask again later")))
    }
    beginLate()
    checkpointWaits += 1
    let reference = NIOLoopBound(self, eventLoop: shard.loop)
    checkpoints.covering(size) { [loop = shard.loop] result in
      loop.execute {
        let session = reference.value
        session.checkpointWaits -= 1
        then(session, result)
        session.finishLate()
        session.shard.flush()
      }
    }
  }
}
