import AuditSchema
import Synchronization

/// Encodes events of the process itself, with the same decoding and translation as the server.
final class LocalEncoder {
  private let frames = EventEncoder()
  private let arena: DecodeArena
  private let translator: EventTranslator
  private let recordBytes: Int
  private let source: AppendSource

  init(source: AppendSource, configuration: AuditLogConfiguration, now: @escaping @Sendable () -> UInt64) {
    self.source = source
    arena = DecodeArena(limitBytes: configuration.decodeBytes)
    translator = EventTranslator(arena: arena, now: now)
    recordBytes = configuration.recordBytes
  }

  func encode(_ events: [Event], into batch: AppendBatch) throws -> EncodedRecords.Part {
    let encoded = try events.map { try frames.encode($0) }
    let frame = ClientFrameEncoder.append(id: 1, producerSequence: nil, events: encoded)
    defer { arena.reset() }
    return try frame.withUnsafeBytes { frame in
      var id: UInt64?
      guard case .frame(let range) = try Framing.next(in: frame, at: 0, limit: .max),
        case .append(let append) = try ClientFrame(UnsafeRawBufferPointer(rebasing: frame[range]), in: arena, identified: &id).request
      else { return batch.records.nextPart }
      return try translator.translate(append, origin: source.origin, firstNumber: nil, recordLimit: recordBytes, into: batch.records)
    }
  }

  /// A batch of events whose answer nobody needs.
  func batch(of events: [Event]) throws -> AppendBatch {
    let batch = AppendBatch(owner: nil)
    batch.add(
      AppendBatch.Request(id: 1, firstNumber: nil, eventCount: events.count, part: try encode(events, into: batch)), source: source,
      token: 0)
    batch.records.hashBodies()
    return batch
  }
}

/// Appends events of the process itself: the same decoding, translation and commit as the server, without a socket.
package final class LocalAppender: CommitObserver {
  private struct State {
    let encoder: LocalEncoder
    var bytesWritten: UInt64 = 0
    /// Who waits for an answer, by token.
    var waiting: [UInt64: CheckedContinuation<Appended, any Error>] = [:]
    var lastToken: UInt64 = 0
  }

  private let state: Mutex<State>
  private let sequencer: Sequencer
  private let source: AppendSource

  init(sequencer: Sequencer, origin: RecordOrigin, configuration: AuditLogConfiguration, now: @escaping @Sendable () -> UInt64) {
    source = AppendSource(origin: origin)
    state = Mutex(State(encoder: LocalEncoder(source: source, configuration: configuration, now: now)))
    self.sequencer = sequencer
  }

  var bytesWritten: UInt64 { state.withLock { $0.bytesWritten } }

  package func append(_ events: [Event]) async throws -> Appended {
    guard !events.isEmpty else { return Appended(recorded: 0, firstSequence: nil) }
    let batch = AppendBatch(owner: self)
    let part = try state.withLock { try $0.encoder.encode(events, into: batch) }
    return try await withCheckedThrowingContinuation { continuation in
      let token = state.withLock { state in
        state.lastToken += 1
        state.waiting[state.lastToken] = continuation
        return state.lastToken
      }
      batch.add(AppendBatch.Request(id: 1, firstNumber: nil, eventCount: events.count, part: part), source: source, token: token)
      if let refusal = sequencer.submit(batch) { take(token)?.resume(throwing: refusal) }
    }
  }

  private func take(_ token: UInt64) -> CheckedContinuation<Appended, any Error>? {
    state.withLock { $0.waiting.removeValue(forKey: token) }
  }

  package func committed(_ batches: [AppendBatch], next: UInt64) {
    for batch in batches {
      for request in batch.requests {
        guard let waiter = take(batch.senders[request.sender].token) else { continue }
        switch request.outcome {
        case .appended(let first):
          state.withLock { $0.bytesWritten += UInt64(batch.records.count) }
          waiter.resume(
            returning: Appended(recorded: request.spans.count, ignoredEvents: Array(batch.ignored(of: request)), firstSequence: first))
        case .refused(let reason): waiter.resume(throwing: batch.refusals[reason])
        case .pending, .duplicate:
          waiter.resume(throwing: RequestError(.internal, "an append without a producer came back as a duplicate"))
        }
      }
    }
  }
}
