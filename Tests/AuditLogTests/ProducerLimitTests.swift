import AuditLog
import AuditSchema
import Foundation
import Testing

/// Which producers are remembered, and what one that was forgotten is told.
@Suite struct ProducerLimitTests {
  private func log(producers: Int = 64, hubProducers: Int = 8, segmentBytes: UInt64 = 1 << 20) throws -> TemporaryLog {
    var configuration = AuditLogConfiguration()
    configuration.producers = producers
    configuration.hubProducers = hubProducers
    return try TemporaryLog(configuration: configuration, segmentBytes: segmentBytes)
  }

  /// A connection that stores so many events and goes.
  private func visit(_ log: AuditLog, hub: String = "h", producer: String, events: Int = 1) throws {
    let visitor = try ProducerFixture(log, hub: hub, producer: producer)
    _ = try visitor.greet()
    for number in 1...max(1, events) where events > 0 { _ = try visitor.append([.numbered(number)], number: UInt64(number)) }
    visitor.close()
  }

  private func code(_ outcome: ProducerFixture.Outcome) -> RequestError.Code? {
    if case .refused(let error) = outcome { error.code } else { nil }
  }

  private func isStored(_ outcome: ProducerFixture.Outcome) -> Bool { if case .appended(_?) = outcome { true } else { false } }

  @Test("a producer that was forgotten is told so, and nothing that it may have sent before is stored again")
  func forgotten() throws {
    let fixture = try log()
    try visit(fixture.log, producer: "first")
    for index in 0..<8 { try visit(fixture.log, producer: "p\(index)") }
    let first = try ProducerFixture(fixture.log, producer: "first")
    let greeting = try #require(try first.greet(declared: 2))
    #expect(greeting.isForgotten && greeting.next == 2)
    // Perhaps the answer to number 2 was lost.
    #expect(code(try first.append([.numbered(2)], number: 2)) == .producerNumberUnknown)
    #expect(code(try first.append([.numbered(1)], number: 1)) == .producerNumberUnknown)
    let again = try #require(try first.greet(declared: 2))
    #expect(again.isForgotten)
    // It declares a number that it has never used.
    let fresh = try #require(try first.greet(declared: 4))
    #expect(!fresh.isForgotten && fresh.next == 4)
    #expect(isStored(try first.append([.numbered(4)], number: 4)))
    #expect(try ProducerFixture(fixture.log, producer: "p7").expected() == 2)
    let new = try ProducerFixture(fixture.log, producer: "new")
    #expect(try new.greet()?.isForgotten == false)
    #expect(isStored(try new.append([.numbered(1)], number: 1)))
    #expect(try ProducerFixture(fixture.log, hub: "other", producer: "first").greet(declared: 9)?.isForgotten == false)
  }

  @Test("a producer that one sends everything again as, since nothing was answered, hears that it may have been forgotten")
  func forgottenBeforeTheFirstAnswer() throws {
    let fixture = try log()
    try visit(fixture.log, producer: "first")
    for index in 0..<8 { try visit(fixture.log, producer: "p\(index)") }
    #expect(try ProducerFixture(fixture.log, producer: "first").greet(declared: 1)?.isForgotten == true)
  }

  @Test("that producers were forgotten outlives a restart")
  func forgottenBeforeARestart() throws {
    let fixture = try log(segmentBytes: 64 << 10)
    try visit(fixture.log, producer: "first")
    for index in 0..<9 { try visit(fixture.log, producer: "p\(index)") }
    try visit(fixture.log, hub: "busy", producer: "b", events: 1_000)
    #expect(fixture.log.store.status.segments > 1)
    try fixture.reopen()
    #expect(try ProducerFixture(fixture.log, producer: "first").greet(declared: 2)?.isForgotten == true)
    #expect(try ProducerFixture(fixture.log, hub: "busy", producer: "b").greet(declared: 1_001)?.isForgotten == false)
  }

  @Test("hellos of other hubs make the log forget nothing, whatever they are called, nor do few records")
  func strangers() throws {
    let fixture = try log()
    try visit(fixture.log, hub: "victim", producer: "v", events: 100)
    for index in 0..<1_000 { try visit(fixture.log, hub: "s\(index)", producer: "x", events: 0) }
    #expect(fixture.log.sequencer.producerCount == 1)
    for index in 0..<500 { try visit(fixture.log, hub: "one", producer: "x\(index)") }
    for index in 0..<500 { try visit(fixture.log, hub: "s\(index)", producer: "x") }
    #expect(fixture.log.sequencer.producerCount <= 64)
    let victim = try ProducerFixture(fixture.log, hub: "victim", producer: "v")
    let greeting = try #require(try victim.greet(declared: 100))
    #expect(greeting.next == 101 && !greeting.isForgotten)
  }

  @Test("when there are too many producers, those of the hub that has most go")
  func fairness() throws {
    let fixture = try log(producers: 32, hubProducers: 32)
    for index in 0..<4 { try visit(fixture.log, hub: "small", producer: "s\(index)") }
    for index in 0..<200 { try visit(fixture.log, hub: "large", producer: "l\(index)", events: 2) }
    #expect(fixture.log.sequencer.producerCount <= 32)
    for index in 0..<4 { #expect(try ProducerFixture(fixture.log, hub: "small", producer: "s\(index)").expected() == 2) }
    #expect(try ProducerFixture(fixture.log, hub: "large", producer: "l199").expected() == 3)
  }

  @Test("a producer that a connection holds is not forgotten, also by its own hub, also where another connection has taken it over")
  func held() throws {
    let fixture = try log()
    let (held, superseded) = (try ProducerFixture(fixture.log, producer: "a"), try ProducerFixture(fixture.log, producer: "b"))
    let token = try superseded.greet()?.token
    for fixture in [held, superseded] { #expect(isStored(try fixture.append([.numbered(1)], number: 1))) }
    try visit(fixture.log, producer: "b", events: 0)
    for index in 0..<100 { try visit(fixture.log, producer: "p\(index)", events: 3) }
    #expect(isStored(try held.append([.numbered(2)], number: 2)))
    let greeting = try #require(try ProducerFixture(fixture.log, producer: "b").greet(declared: 2, token: token))
    #expect(!greeting.isForgotten && greeting.next == 2)
  }
}
