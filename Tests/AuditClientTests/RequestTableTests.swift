import AuditClient
import AuditSchema
import NIOCore
import Synchronization
import Testing

/// Who waits for which reply: as a dictionary would have it, in less.
@Suite struct RequestTableTests {
  private final class Heard: Sendable {
    let failures = Mutex(0)
  }

  private func waiter(_ heard: Heard, due deadline: NIODeadline = .distantFuture) -> RequestTable.Waiter {
    .append({ result in if case .failure = result { heard.failures.withLock { $0 += 1 } } }, events: 1, deadline: deadline)
  }

  @Test("replies in any order reach those that wait, once, and holes are no requests")
  func anyOrder() {
    var random = SystemRandomNumberGenerator()
    var table = RequestTable()
    let heard = Heard()
    var waiting: Set<UInt64> = []
    var last: UInt64 = 0
    for _ in 0..<20_000 {
      if waiting.count < 50 || Bool.random(using: &random) && waiting.count < 3000 {
        last = table.newID()
        // Some requests are answered with nothing.
        if last % 7 != 0 {
          table.add(waiter(heard), id: last)
          waiting.insert(last)
        }
      } else {
        let id = Bool.random(using: &random) ? waiting.min()! : waiting.randomElement(using: &random)!
        #expect(table.received(id) != nil)
        waiting.remove(id)
        #expect(table.received(id) == nil)
      }
      #expect(table.count == waiting.count)
    }
    #expect(table.received(last + 1) == nil)
    for id in waiting { #expect(table.received(id) != nil) }
    #expect(table.count == 0)
  }

  @Test("one that waits while very many are answered is still there, and is told when its time has passed")
  func straggler() {
    var table = RequestTable()
    let heard = Heard()
    let first = table.newID()
    table.add(waiter(heard, due: .uptimeNanoseconds(10)), id: first)
    let second = table.newID()
    table.add(waiter(heard), id: second)
    for _ in 0..<100_000 {
      let id = table.newID()
      table.add(waiter(heard), id: id)
      #expect(table.received(id) != nil)
    }
    #expect(table.received(second) != nil && table.received(second) == nil)
    let other = table.newID()
    table.add(waiter(heard, due: .uptimeNanoseconds(30)), id: other)
    #expect(table.count == 2)
    #expect(table.removeOverdue(at: .uptimeNanoseconds(5)).isEmpty)
    for waiter in table.removeOverdue(at: .uptimeNanoseconds(20)) { waiter.fail(ClientError(.timeout, "late")) }
    #expect(heard.failures.withLock { $0 } == 1 && table.count == 1 && table.received(first) == nil)
    #expect(table.removeAll().count == 1 && table.count == 0 && table.newID() == other + 1)
  }
}
