import AuditSchema
import Logging
import Synchronization

/// Callbacks within the process, fed by one cursor that follows the log.
final class LocalSubscribers: CommitObserver {
  private struct Subscriber {
    let id: UInt64
    /// The durable end when it subscribed.
    let first: UInt64
    let callback: @Sendable (Record) async throws -> Void
  }

  private struct State {
    var subscribers: [Subscriber] = []
    var nextID: UInt64 = 0
    var loop: Task<Void, Never>?
  }

  private let state = Mutex(State())
  private let store: any RecordStore
  private let logger: Logger
  private let growth: AsyncStream<Void>
  private let grew: AsyncStream<Void>.Continuation

  init(store: any RecordStore, sequencer: Sequencer, logger: Logger) {
    self.store = store
    self.logger = logger
    (growth, grew) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  func committed(_ batches: [AppendBatch], next: UInt64) { grew.yield() }

  func end() { grew.finish() }

  func add(_ callback: @escaping @Sendable (Record) async throws -> Void) -> AuditLog.Subscription {
    state.withLock { state in
      let first = store.nextSequence
      state.nextID += 1
      state.subscribers.append(Subscriber(id: state.nextID, first: first, callback: callback))
      if state.loop == nil { state.loop = Task { [self] in await follow(from: first) } }
      return AuditLog.Subscription(id: state.nextID)
    }
  }

  func remove(_ subscription: AuditLog.Subscription) {
    state.withLock { $0.subscribers.removeAll { $0.id == subscription.id } }
  }

  private func follow(from first: UInt64) async {
    var cursor = first
    for await _ in growth {
      do {
        // Copied out before the callbacks, which may suspend.
        while let records = try read(from: cursor) {
          for record in records { await deliver(record) }
          cursor += UInt64(records.count)
        }
      } catch let error as StoreError where error.code == .closed {
        // The log was closed while somebody had not read to its end.
        return
      } catch {
        logger.error("following the log ended", metadata: ["sequence": "\(cursor)", "reason": "\(error)"])
        // The next subscriber starts a new cursor.
        state.withLock { $0.loop = nil }
        return
      }
    }
  }

  private func read(from sequence: UInt64) throws -> [Record]? {
    let reader = RecordReader(store: store, from: sequence)
    return try reader.next().map { try Record.records(inBatch: $0.bytes) }
  }

  private func deliver(_ record: Record) async {
    for subscriber in state.withLock({ $0.subscribers }) where record.sequence >= subscriber.first {
      // An earlier callback may have removed it.
      guard state.withLock({ $0.subscribers.contains { $0.id == subscriber.id } }) else { continue }
      do {
        try await subscriber.callback(record)
      } catch {
        logger.error("a subscriber threw", metadata: ["sequence": "\(record.sequence)", "reason": "\(error)"])
      }
    }
  }
}
