import AuditServer
import NIOCore
import Testing

@Suite(.timeLimit(.minutes(1))) struct PeerLimitTests {
  @Test("whoever waits for the last connection to close goes on when it does")
  func lastCloses() async {
    let connections = OpenConnections()
    #expect(await connections.none(before: .now + .seconds(3600)))
    #expect(connections.opened() == 1)
    #expect(connections.opened() == 2)
    async let none = connections.none(before: .now + .seconds(3600))
    connections.closed()
    #expect(connections.count == 1)
    connections.closed()
    #expect(await none)
  }

  @Test("the wait for the last connection ends at its deadline")
  func deadline() async {
    let connections = OpenConnections()
    connections.opened()
    #expect(await !connections.none(before: .now))
    connections.closed()
    #expect(await connections.none(before: .now))
  }

  private func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

  @Test("a peer that takes less than comes makes progress all the same")
  func progressUnderGrowth() {
    var unsent = UnsentBytes()
    unsent.wrote(1000)
    unsent.looked(buffered: 1000, at: at(1))
    #expect(unsent.stalledSince == at(1))
    unsent.wrote(500)
    unsent.looked(buffered: 1400, at: at(2))
    #expect(unsent.stalledSince == at(2))
    unsent.wrote(500)
    unsent.looked(buffered: 1900, at: at(3))
    #expect(unsent.stalledSince == at(2))
    #expect(unsent.count == 1900)
    unsent.looked(buffered: 0, at: at(4))
    #expect(unsent.stalledSince == nil)
  }

  @Test("what a peer's host acknowledges is progress, the first look at it is not")
  func acknowledged() {
    var unsent = UnsentBytes()
    unsent.wrote(1000)
    unsent.looked(buffered: 1000, at: at(0))
    unsent.acknowledged(70_000, at: at(5))
    #expect(unsent.stalledSince == at(0))
    unsent.acknowledged(70_000, at: at(6))
    #expect(unsent.stalledSince == at(0))
    unsent.acknowledged(70_001, at: at(7))
    #expect(unsent.stalledSince == at(7))
    // After progress of the other kind, the next look is a first one again.
    unsent.looked(buffered: 900, at: at(8))
    unsent.acknowledged(80_000, at: at(9))
    #expect(unsent.stalledSince == at(8))
  }
}
