import AuditLog
import AuditSchema
import Foundation
import Synchronization
import Testing

@Suite struct WriterQueueTests {
  private final class Owner: CommitObserver {
    func committed(_ batches: [AppendBatch], next: UInt64) {}
  }

  private func batch(_ owner: Owner, cost: Int) throws -> AppendBatch {
    let batch = AppendBatch(owner: owner)
    batch.add(
      AppendBatch.Request(id: 1, firstNumber: nil, eventCount: 1, part: .init(spans: 0..<0, ignored: 0..<0, byteCount: cost)),
      source: AppendSource(origin: try RecordOrigin(hub: "h")), token: 0)
    return batch
  }

  @Test("what was taken is let go, also when something always waits")
  func letsGo() throws {
    let owner = Owner()
    let queue = WriterQueue(limitBytes: 1 << 20)
    weak var early: AppendBatch?
    do {
      let first = try batch(owner, cost: 10)
      early = first
      _ = queue.submit(first)
    }
    for _ in 0..<100 {
      _ = queue.submit(try batch(owner, cost: 10))
      guard case .batches(let taken) = queue.take(maxBytes: 1) else {
        Issue.record("there was something to take")
        return
      }
      #expect(taken.count == 1)
      #expect(queue.bytes == 10 && queue.length == (1, 10))
    }
    #expect(early == nil)
  }

  @Test("the limit refuses, room admits again, and a closed queue still gives out what it holds")
  func limit() throws {
    let owner = Owner()
    let queue = WriterQueue(limitBytes: 100)
    #expect(queue.submit(try batch(owner, cost: 99)) == .taken)
    #expect(queue.submit(try batch(owner, cost: 500)) == .taken)
    #expect(queue.submit(try batch(owner, cost: 1)) == .full)
    _ = queue.take(maxBytes: 1)
    #expect(queue.submit(try batch(owner, cost: 1)) == .full)
    _ = queue.take(maxBytes: 1)
    #expect(queue.submit(try batch(owner, cost: 1)) == .taken)
    queue.close()
    #expect(queue.submit(try batch(owner, cost: 1)) == .closed)
    guard case .batches(let rest) = queue.take(maxBytes: 1000), case .end = queue.take(maxBytes: 1000) else {
      Issue.record("the rest and then the end")
      return
    }
    #expect(rest.count == 1)
  }

  @Test("little is held until it is more, until it is released, or until a task waits behind it or the end")
  func held() throws {
    let owner = Owner()
    let queue = WriterQueue(limitBytes: 1000)
    func taken() -> Int? {
      guard case .batches(let batches) = queue.take(maxBytes: 1000) else { return nil }
      return batches.count
    }
    queue.hold(below: 100)
    for _ in 0..<2 { _ = queue.submit(try batch(owner, cost: 60)) }
    #expect(taken() == 2)
    _ = queue.submit(try batch(owner, cost: 60))
    #expect(queue.perform {})
    #expect(taken() == 1)
    guard case .task = queue.take(maxBytes: 1000) else {
      Issue.record("the task comes after the batch")
      return
    }
    _ = queue.submit(try batch(owner, cost: 60))
    queue.release()
    #expect(taken() == 1)
    queue.hold(below: 100)
    _ = queue.submit(try batch(owner, cost: 60))
    queue.close()
    #expect(taken() == 1)
    guard case .end = queue.take(maxBytes: 1000) else {
      Issue.record("then the end")
      return
    }
  }

  @Test("a thread that is given its work at once, and one that is not, gets all of it in order")
  func handedToAndFro() throws {
    let owner = Owner()
    let queue = WriterQueue(limitBytes: 1000)
    let back = DispatchSemaphore(value: 0)
    let taken = Mutex<[ObjectIdentifier]>([])
    Thread {
      while case .batches(let batches) = queue.take(maxBytes: 1000) {
        taken.withLock { $0 += batches.map { ObjectIdentifier($0) } }
        back.signal()
      }
      back.signal()
    }.start()
    let batches = try (0..<2000).map { _ in try batch(owner, cost: 1) }
    for (index, batch) in batches.enumerated() {
      // Now and then longer than anybody looks.
      if index % 100 == 99 { usleep(500) }
      #expect(queue.submit(batch) == .taken)
      try #require(back.wait(timeout: .now() + 60) == .success)
    }
    queue.close()
    try #require(back.wait(timeout: .now() + 60) == .success)
    #expect(taken.withLock { $0 } == batches.map { ObjectIdentifier($0) })
  }

  @Test("who waits for what is held wakes when it is released")
  func releasedWhileWaiting() throws {
    let owner = Owner()
    let queue = WriterQueue(limitBytes: 1000)
    queue.hold(below: 100)
    _ = queue.submit(try batch(owner, cost: 60))
    let (isWaiting, given) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    let waiter = Thread {
      isWaiting.signal()
      if case .batches = queue.take(maxBytes: 1000) { given.signal() }
    }
    waiter.start()
    isWaiting.wait()
    #expect(given.wait(timeout: .now() + 0.05) == .timedOut)
    queue.release()
    #expect(given.wait(timeout: .now() + 60) == .success)
  }
}
