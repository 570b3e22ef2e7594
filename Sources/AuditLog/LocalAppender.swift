import AuditSchema
import Synchronization

/// Appends of the process itself: the same decoding, translation and commit as the server's, without a socket.
package final class LocalAppender: CommitObserver {
  private struct State {
    let frames = EventEncoder()
    let arena: DecodeArena
    let translator: EventTranslator
    var bytesWritten: UInt64 = 0
  }

  /// Waits for the answer to one append.
  private final class Waiter: Sendable {
    let continuation: CheckedContinuation<Appended, any Error>
    init(_ continuation: CheckedContinuation<Appended, any Error>) { self.continuation = continuation }
  }

  private let state: Mutex<State>
  private let sequencer: Sequencer
  private let source: AppendSource
  private let recordBytes: Int

  init(sequencer: Sequencer, origin: RecordOrigin, configuration: AuditLogConfiguration, now: @escaping @Sendable () -> UInt64) {
    let arena = DecodeArena(limitBytes: configuration.decodeBytes)
    state = Mutex(State(arena: arena, translator: EventTranslator(arena: arena, now: now)))
    self.sequencer = sequencer
    source = AppendSource(origin: origin)
    recordBytes = configuration.recordBytes
  }

  var bytesWritten: UInt64 { state.withLock { $0.bytesWritten } }

  package func append(_ events: [Event]) async throws -> Appended {
    guard !events.isEmpty else { return Appended(recorded: 0, firstSequence: nil) }
    let batch = AppendBatch(owner: self)
    let part = try state.withLock { state in
      let encoded = try events.map { try state.frames.encode($0) }
      let frame = ClientFrameEncoder.append(id: 1, producerSequence: nil, events: encoded)
      defer { state.arena.reset() }
      return try frame.withUnsafeBytes { frame in
        var id: UInt64?
        guard case .frame(let range) = try Framing.next(in: frame, at: 0, limit: .max),
          case .append(let append) = try ClientFrame(UnsafeRawBufferPointer(rebasing: frame[range]), in: state.arena, identified: &id)
            .request
        else { return batch.records.nextPart }
        return try state.translator.translate(
          append, origin: source.origin, firstNumber: nil, recordLimit: recordBytes, into: batch.records)
      }
    }
    return try await withCheckedThrowingContinuation { continuation in
      batch.add(
        AppendBatch.Request(
          id: 1, firstNumber: nil, eventCount: events.count, part: part),
        source: source, session: Waiter(continuation))
      if let refusal = sequencer.submit(batch) { continuation.resume(throwing: refusal) }
    }
  }

  package func committed(_ batches: [AppendBatch], next: UInt64) {
    for batch in batches {
      for request in batch.requests {
        guard let waiter = batch.senders[request.sender].session as? Waiter else { continue }
        switch request.outcome {
        case .appended(let first):
          state.withLock { $0.bytesWritten += UInt64(batch.records.count) }
          waiter.continuation.resume(
            returning: Appended(recorded: request.spans.count, ignoredEvents: Array(batch.ignored(of: request)), firstSequence: first))
        case .refused(let reason): waiter.continuation.resume(throwing: batch.refusals[reason])
        case .pending, .duplicate:
          waiter.continuation.resume(throwing: SchemaError(.internal, "an append without a producer came back as a duplicate"))
        }
      }
    }
  }
}
