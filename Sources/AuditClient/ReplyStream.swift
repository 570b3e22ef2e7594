import AuditSchema
import NIOCore
import Synchronization

/// Receives the replies of one read or subscription, in order, on the connection's event loop.
package protocol ReplyReceiver: AnyObject, Sendable {
  /// - Returns: bytes of records that are still unread.
  func push(_ element: ReplyElement) -> Int
  /// Receives the payload of a `RecordBatch`. The default pushes a copy.
  ///
  /// - Parameters:
  ///   - batch: valid only during the call.
  ///   - next: the position after the batch.
  ///   - leafHash: of record `next - 1`, if that record is not in the batch.
  /// - Returns: bytes of records that are still unread.
  func push(records batch: UnsafeRawBufferPointer, next: UInt64, leafHash: [UInt8]?) -> Int
  /// Called once, after the last reply. `error`: why it ended early.
  func finish(_ error: ClientError?)
}

extension ReplyReceiver {
  package func push(records batch: UnsafeRawBufferPointer, next: UInt64, leafHash: [UInt8]?) -> Int {
    push(.records(next: next, leafHash: leafHash, batch: Array(batch)))
  }
}

package enum ReplyElement: Sendable {
  /// The payload of a `RecordBatch`, the position after it, and the leaf hash of record `next - 1` if that is not in the batch.
  case records(next: UInt64, leafHash: [UInt8]?, batch: [UInt8])
  /// `erasedSkipped`: number of erased records skipped by this subscription so far.
  case caughtUp(next: UInt64, leafHash: [UInt8]?, erasedSkipped: UInt64)
  case progress(next: UInt64, leafHash: [UInt8]?, erasedSkipped: UInt64)
  case readEnd(ReadEnd)
}

/// The unread replies of one read or subscription. The event loop fills it, one consumer empties it.
///
/// Its senders bound it: a subscription by its credit, a read by the socket, which the client stops reading above `stallBytes`.
final class ReplyStream: ReplyReceiver {
  typealias Element = ReplyElement

  private typealias Waiter = CheckedContinuation<Result<Element?, ClientError>, Never>

  private struct State {
    var elements = CircularBuffer<Element>()
    var bytes = 0
    var outcome: Result<Void, ClientError>?
    var isCancelled = false
    var waiter: Waiter?
  }

  private let state = Mutex(State())

  /// - Returns: bytes of records that are still unread.
  func push(_ element: Element) -> Int {
    let (waiter, bytes) = state.withLock { state -> (Waiter?, Int) in
      if let waiter = state.waiter {
        state.waiter = nil
        return (waiter, 0)
      }
      state.elements.append(element)
      state.bytes += element.bytes
      return (nil, state.bytes)
    }
    waiter?.resume(returning: .success(element))
    return bytes
  }

  /// Ends the stream. The consumer first gets the unread replies, then the end or the error.
  func finish(_ error: ClientError?) {
    let (waiter, outcome) = state.withLock { state -> (Waiter?, Result<Void, ClientError>) in
      let outcome = state.outcome ?? (error.map { .failure($0) } ?? .success(()))
      state.outcome = outcome
      defer { state.waiter = nil }
      return (state.waiter, outcome)
    }
    waiter?.resume(returning: outcome.map { nil })
  }

  var isFinished: Bool { state.withLock { $0.outcome != nil } }

  /// Bytes of unread records.
  var bytes: Int { state.withLock { $0.bytes } }

  /// The next reply; `nil` at the end. One call at a time.
  ///
  /// - Throws: why the stream ended; `cancelled` if the caller's task was.
  func next() async throws(ClientError) -> Element? {
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { (waiter: Waiter) in
        let ready = state.withLock { state -> Result<Element?, ClientError>? in
          if state.isCancelled { return .failure(.cancelled) }
          if let element = state.elements.popFirst() {
            state.bytes -= element.bytes
            return .success(element)
          }
          if let outcome = state.outcome { return outcome.map { nil } }
          precondition(state.waiter == nil, "a stream of replies has one consumer")
          state.waiter = waiter
          return nil
        }
        if let ready { waiter.resume(returning: ready) }
      }
    } onCancel: {
      let waiter = state.withLock { state in
        state.isCancelled = true
        defer { state.waiter = nil }
        return state.waiter
      }
      waiter?.resume(returning: .failure(.cancelled))
    }
    return try result.get()
  }
}

extension ReplyElement {
  var bytes: Int {
    if case .records(_, _, let batch) = self { batch.count } else { 0 }
  }
}

extension ClientError {
  static let cancelled = ClientError(.cancelled, "the waiting task was cancelled")
}
