import AuditSchema

/// Decodes a server's frame as a client does; what was understood is encoded again and must mean the same.
final class ReplyCheck {
  private let arena = DecodeArena(limitBytes: 4 << 20)
  private let encoder = ServerFrameEncoder()
  private let records = RecordCheck()

  func run(_ bytes: UnsafeRawBufferPointer) throws {
    guard let frame = try? ServerFrame(bytes, in: arena) else { return }
    let id = frame.id ?? 1
    switch frame.reply {
    case .records(_, _, let batch):
      try require(batch.lowerBound >= 0 && batch.upperBound <= bytes.count, "a batch at \(batch) of \(bytes.count) bytes")
      let batch = UnsafeRawBufferPointer(rebasing: bytes[batch])
      for record in (try? Record.records(inBatch: batch)) ?? [] {
        try require(record.sequence < .max, "there is no position after the record's")
        try records.look(at: record)
      }
      RecordBatchBytes(batch).forEachRecord { _ = RecordBytes($0)?.sequence }
    case .appended(let appended):
      // A client asks for no more sequences than it sent events.
      if appended.recorded <= 10_000 { try require(appended.sequences.last ?? 0 <= .max - 1, "a sequence beyond all others") }
      _ = appended.sequence(of: appended.recorded)
      guard case .appended(appended) = try decode(encoder.appended(id: id, appended)) else { throw lost("appended") }
    case .welcome(let welcome):
      try require(Int(exactly: welcome.limits.frameBytes) != nil && welcome.producerNext ?? 0 < .max, "a limit that no client can keep")
      guard case .welcome(welcome) = try decode(encoder.welcome(id: id, welcome)) else { throw lost("welcome") }
    case .readEnd(let end):
      guard case .readEnd(end) = try decode(encoder.readEnd(id: id, end)) else { throw lost("read end") }
    case .subscription(let state, let erased):
      guard case .subscription(state, erased) = try decode(encoder.subscription(id: id, state, erasedSkipped: erased)) else {
        throw lost("state")
      }
    case .health(let health):
      guard case .health(health) = try decode(encoder.health(id: id, health)) else { throw lost("health") }
    case .settings(let settings):
      guard case .settings(settings) = try decode(encoder.settings(id: id, settings)) else { throw lost("settings") }
    case .checkpoint(let note):
      guard case .checkpoint(note) = try decode(encoder.checkpoint(id: id, note: note)) else { throw lost("checkpoint") }
    case .proof(let proof):
      guard case .proof(proof) = try decode(encoder.proof(id: id, proof)) else { throw lost("proof") }
    case .erased(let sequence):
      guard case .erased(sequence) = try decode(encoder.erased(id: id, sequence: sequence)) else { throw lost("erased") }
    case .schema(let set, let sha256):
      guard case .schema(set, sha256) = try decode(encoder.schema(id: id, descriptorSet: set, sha256: sha256)) else { throw lost("schema") }
    case .pong(let payload):
      guard case .pong(payload) = try decode(encoder.pong(id: id, payload: payload)) else { throw lost("pong") }
    case .authenticated(let identity, let expiresAt):
      guard
        case .authenticated(identity, expiresAt) = try decode(encoder.authenticated(id: id, identity: identity, expiresAt: expiresAt))
      else { throw lost("authenticated") }
    case .error(let error):
      guard case .error(error) = try decode(encoder.error(id: frame.id, error)) else { throw lost("error") }
    case .unknown: break
    }
  }

  private func decode(_ frame: [UInt8]) throws -> ServerFrame.Reply {
    try must("what was encoded is not understood") { try undelimited(frame).withUnsafeBytes { try ServerFrame($0, in: arena).reply } }
  }

  private func lost(_ what: String) -> Violation { Violation(description: "a reply (\(what)) did not come back as what it was") }
}
