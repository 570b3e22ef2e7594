import AuditSchema

/// Decodes a request as a session does; what was understood is encoded again and must mean the same; an append becomes records.
final class RequestCheck {
  private let arena = DecodeArena(limitBytes: 4 << 20)
  private let encoder = ClientFrameEncoder()
  private let records = RecordCheck()
  private lazy var translator = EventTranslator(arena: arena)
  private let origin: RecordOrigin

  init() {
    do { origin = try RecordOrigin(hub: "hub", producer: "producer") } catch { fatalError("\(error)") }
  }

  func run(_ frame: UnsafeRawBufferPointer) throws {
    defer { arena.reset() }
    var id: UInt64?
    let decoded: ClientFrame
    do { decoded = try ClientFrame(frame, in: arena, identified: &id) } catch {
      return try require(!error.message.isEmpty, "an error without a sentence")
    }
    try require(id == decoded.id && decoded.id > 0, "the id is \(decoded.id), and \(String(describing: id)) was told")
    switch decoded.request {
    case .append(let append): try translate(append)
    case .hello(let hello):
      guard case .hello(let again) = try decode(try encoder.hello(id: decoded.id, hello)) else { throw lost("hello") }
      try require(again == hello, "\(hello) came back as \(again)")
    case .read(let read):
      guard case .read(let again) = try decode(try encoder.read(id: decoded.id, read)) else { throw lost("read") }
      try require(again == read, "\(read) came back as \(again)")
    case .subscribe(let subscribe):
      guard case .subscribe(let again) = try decode(try encoder.subscribe(id: decoded.id, subscribe)) else { throw lost("subscribe") }
      try require(again == subscribe, "\(subscribe) came back as \(again)")
    case .unsubscribe(let subscription):
      guard case .unsubscribe(subscription) = try decode(try encoder.unsubscribe(id: decoded.id, subscription: subscription)) else {
        throw lost("unsubscribe")
      }
    case .credit(let subscription, let bytes):
      guard case .credit(subscription, bytes) = try decode(try encoder.credit(id: decoded.id, subscription: subscription, bytes: bytes))
      else { throw lost("credit") }
    case .checkpoint(let size):
      guard case .checkpoint(size) = try decode(try encoder.checkpoint(id: decoded.id, size: size)) else { throw lost("checkpoint") }
    case .proof(let proof):
      guard case .proof(proof) = try decode(try encoder.proof(id: decoded.id, proof)) else { throw lost("proof") }
    case .erase(let statement):
      guard case .erase(statement) = try decode(try encoder.erase(id: decoded.id, statement: statement)) else { throw lost("erase") }
    case .ping(let payload):
      guard case .ping(payload) = try decode(try encoder.ping(id: decoded.id, payload: payload)) else { throw lost("ping") }
    case .authenticate(let token):
      guard case .authenticate(token) = try decode(try encoder.authenticate(id: decoded.id, token: token)) else {
        throw lost("authenticate")
      }
    case .health, .settings, .schema: break
    }
  }

  /// What a session does with an append, up to the sequencer's part.
  private func translate(_ append: AppendRequest) throws {
    let number = append.producerSequence.flatMap { $0 > 0 && $0 < .max - UInt64(append.count) ? $0 : nil }
    let batch = EncodedRecords(capacity: 256)
    do {
      try translator.translate(append, origin: origin, firstNumber: number, recordLimit: 64 << 10, into: batch)
    } catch {
      try require(error.event.map { $0 >= 0 && $0 < append.count } == true, "the error names no event: \(error)")
      return try require(batch.spans.isEmpty && batch.count == 0 && batch.ignored.isEmpty, "a refused append left something behind")
    }
    try require(batch.spans.count + batch.ignored.count == append.count, "\(append.count) events, \(batch.spans.count) records")
    _ = batch.seal(batch.spans.indices, firstSequence: 0, receivedAt: 1)
    try records.sealed(batch.bytes, count: batch.spans.count, hub: origin.hub)
  }

  private func decode(_ frame: [UInt8]) throws -> ClientRequest {
    arena.reset()
    return try must("what was encoded is not understood") {
      var id: UInt64?
      return try undelimited(frame).withUnsafeBytes { try ClientFrame($0, in: arena, identified: &id).request }
    }
  }

  private func lost(_ what: String) -> Violation { Violation(description: "a \(what) did not come back as what it was") }
}
