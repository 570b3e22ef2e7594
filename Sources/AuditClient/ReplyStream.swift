import AuditSchema
import NIOCore
import Synchronization

/// Who is told what arrives for one read or subscription, in order, on the connection's event loop.
package protocol ReplyReceiver: AnyObject, Sendable {
  /// - Returns: the bytes that wait to be taken.
  func push(_ element: ReplyElement) -> Int
  /// The payload of a `RecordBatch`, gone when this returns, and the position after it. By default a copy is pushed.
  ///
  /// - Parameter leafHash: of record `next - 1`, where that is not the batch's last.
  func push(records batch: UnsafeRawBufferPointer, next: UInt64, leafHash: [UInt8]?) -> Int
  /// Nothing more will come.
  func finish(_ error: ClientError?)
}

extension ReplyReceiver {
  package func push(records batch: UnsafeRawBufferPointer, next: UInt64, leafHash: [UInt8]?) -> Int {
    push(.records(next: next, leafHash: leafHash, batch: Array(batch)))
  }
}

package enum ReplyElement: Sendable {
  /// The payload of a `RecordBatch`, and the position after it.
  case records(next: UInt64, leafHash: [UInt8]?, batch: [UInt8])
  /// `erasedSkipped`: of this subscription so far.
  case caughtUp(next: UInt64, leafHash: [UInt8]?, erasedSkipped: UInt64)
  case progress(next: UInt64, leafHash: [UInt8]?, erasedSkipped: UInt64)
  case readEnd(ReadEnd)
}

/// What arrived for one read or subscription and was not taken yet: filled by the event loop, emptied by one consumer.
///
/// It has no bound of its own. What fills it has: the credit of a subscription, and for a read the socket, which is not read from while
/// this holds too much.
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

  /// - Returns: the bytes that wait now.
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

  /// Nothing more will come. What waits can still be taken; then comes the end, or the error.
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

  /// Bytes of records that wait.
  var bytes: Int { state.withLock { $0.bytes } }

  /// The next element, `nil` at the end. For one consumer.
  ///
  /// - Throws: why the stream ended; `cancelled` when the caller's task is.
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
  static let cancelled = ClientError(.cancelled, "the task that waited was cancelled")
}
