import AuditLog
import AuditSchema
import Foundation
import Testing

/// Who has a producer: hellos with tokens and without, numbers that are skipped, and what the log says about it.
@Suite struct TakeOverTests {
  private func describe(_ outcome: ProducerFixture.Outcome) -> String {
    switch outcome {
    case .pending: "pending"
    // Its sequence depends on when the log's own records come.
    case .appended: "appended"
    case .duplicate(let stored, _, _): "stored \(stored)"
    case .refused(let error): "\(error.code)"
    }
  }

  private func refusal(_ body: () throws -> ProducerGreeting?) -> RequestError? {
    do {
      _ = try body()
      return nil
    } catch { return error as? RequestError }
  }

  @Test("whoever has the token of an older connection takes the producer back, and nobody without one gets it again meanwhile")
  func takenBack() throws {
    let fixture = try TemporaryLog()
    let owner = try ProducerFixture(fixture.log)
    let token = try #require(try owner.greet()).token
    for number in 1...4 { _ = try owner.append([.numbered(number)], number: UInt64(number)) }
    let intruder = try ProducerFixture(fixture.log)
    let theirs = try #require(try intruder.greet(declared: 50))
    #expect(theirs.next == 50 && theirs.token != token && theirs.takenAt == nil)
    #expect(describe(try owner.append([.numbered(5)], number: 5)) == "producerSuperseded")
    #expect(describe(try intruder.append([.numbered(-1)], number: 50)) == "appended")
    let again = try ProducerFixture(fixture.log)
    let greeting = try #require(try again.greet(declared: 3, token: token))
    #expect(greeting.next == 51 && greeting.takenAt == 5 && greeting.token == token)
    // What was told and got lost is told again.
    #expect(try again.greet(declared: 3, token: token)?.takenAt == 5)
    // The intruder's numbers are not its own.
    #expect(describe(try again.append([.numbered(5)], number: 5)) == "producerNumberUnknown")
    #expect(describe(try again.append([.numbered(50)], number: 50)) == "producerNumberUnknown")
    #expect(describe(try again.append([.numbered(3), .numbered(4)], number: 3)) == "stored 2")
    #expect(describe(try again.append([.numbered(5)], number: 51)) == "appended")
    #expect(try again.greet(declared: 52, token: token)?.takenAt == nil)
    #expect(describe(try intruder.append([.numbered(-2)], number: 51)) == "producerSuperseded")
    // While it is connected.
    for token in [nil, theirs.token] {
      let refused = refusal { try ProducerFixture(fixture.log).greet(token: token) }
      #expect(refused?.code == .producerSuperseded && refused?.isRetryable == true)
    }
    again.close()
    // Then it is the intruder's, who hears where its own numbers ended.
    let returned = try ProducerFixture(fixture.log)
    let told = try #require(try returned.greet(declared: 51, token: theirs.token))
    #expect(told.next == 52 && told.takenAt == 51)
    #expect(describe(try returned.append([.numbered(-3)], number: 51)) == "producerNumberUnknown")
    #expect(describe(try returned.append([.numbered(-1)], number: 50)) == "stored 1")
    #expect(describe(try returned.append([.numbered(-3)], number: 52)) == "appended")
  }

  @Test("the producer is taken back also when the intruder has left, and when its owner was away")
  func afterTheIntruder() throws {
    let fixture = try TemporaryLog()
    let owner = try ProducerFixture(fixture.log)
    let token = try #require(try owner.greet()).token
    _ = try owner.append([.numbered(1)], number: 1)
    owner.close()
    for index in 0..<20 {
      let intruder = try ProducerFixture(fixture.log)
      _ = try intruder.greet(declared: UInt64(10 * index + 10))
      intruder.close()
    }
    let again = try ProducerFixture(fixture.log)
    let greeting = try #require(try again.greet(declared: 2, token: token))
    #expect(greeting.next == 200 && greeting.takenAt == 2)
    #expect(describe(try again.append([.numbered(2)], number: 200)) == "appended")
  }

  @Test("a process that restarts has no token, and goes on with the numbers of its predecessor")
  func restarted() throws {
    let fixture = try TemporaryLog()
    for generation in 0..<12 {
      let process = try ProducerFixture(fixture.log)
      let greeting = try #require(try process.greet())
      #expect(greeting.next == UInt64(generation) + 1 && greeting.takenAt == nil)
      #expect(describe(try process.append([.numbered(generation)], number: greeting.next)) == "appended")
      if generation > 0 { #expect(describe(try process.append([.numbered(0)], number: 1)) == "stored 1") }
      process.close()
    }
  }

  @Test("a hello may skip so many numbers; one that would skip more is told which number is expected, and changes nothing")
  func jump() throws {
    var configuration = AuditLogConfiguration()
    configuration.producerJump = 100
    let fixture = try TemporaryLog(configuration: configuration)
    // One that the log does not know begins where it likes.
    let producer = try ProducerFixture(fixture.log)
    #expect(producer.expected(declared: 1_000_000) == 1_000_000)
    #expect(describe(try producer.append([.numbered(1)], number: 1_000_000)) == "appended")
    let refused = refusal { try ProducerFixture(fixture.log).greet(declared: 1_000_102) }
    #expect(refused?.code == .producerGap && refused?.expectedProducerSequence == 1_000_001)
    #expect(describe(try producer.append([.numbered(2)], number: 1_000_001)) == "appended")
    #expect(producer.expected(declared: 1_000_102) == 1_000_102)
  }

  private func ownRecords(_ log: AuditLog) throws -> [String] {
    try log.readAll().filter { $0.hub == "hubaudit" }.map { String(decoding: try $0.json() ?? [], as: UTF8.self) }
  }

  private func eventually(_ condition: () throws -> Bool) async throws -> Bool {
    for _ in 0..<2_000 {
      if try condition() { return true }
      try await Task.sleep(for: .milliseconds(5))
    }
    return false
  }

  @Test("the log itself says when numbers are skipped and when a producer is taken over and back")
  func recorded() async throws {
    let fixture = try TemporaryLog()
    let owner = try ProducerFixture(fixture.log)
    let token = try #require(try owner.greet()).token
    _ = try owner.append([.numbered(1)], number: 1)
    _ = try ProducerFixture(fixture.log).greet(declared: 10)
    _ = try ProducerFixture(fixture.log).greet(declared: 2, token: token)
    #expect(try await eventually { try ownRecords(fixture.log).count == 3 })
    #expect(
      try ownRecords(fixture.log) == [
        #"{"from":2,"hub":"h","kind":"producer_jumped","producer":"p","to":10}"#,
        #"{"from":2,"hub":"h","kind":"producer_taken_over","producer":"p","to":10}"#,
        #"{"from":2,"hub":"h","kind":"producer_taken_back","producer":"p","to":10}"#,
      ])
    #expect(
      try fixture.log.readAll().filter { $0.hub == "hubaudit" }.map(\.kind) == [
        "producer_jumped", "producer_taken_over", "producer_taken_back",
      ])
  }

  @Test("a stranger cannot fill the log with such records, nor keep those of another hub out; what is left out is counted")
  func bounded() async throws {
    var configuration = AuditLogConfiguration()
    configuration.producerRecordsWindow = .seconds(1)
    let fixture = try TemporaryLog(configuration: configuration)
    let began = ContinuousClock.now
    let stranger = try ProducerFixture(fixture.log, hub: "s")
    _ = try stranger.greet()
    _ = try stranger.append([.numbered(1)], number: 1)
    for number in 1...300 {
      let other = try ProducerFixture(fixture.log, hub: "s")
      _ = try other.greet(declared: UInt64(10 * number))
      other.close()
    }
    let victim = try ProducerFixture(fixture.log, hub: "h")
    _ = try victim.greet()
    _ = try ProducerFixture(fixture.log, hub: "h").greet(declared: 7)
    #expect(
      try await eventually {
        let told = try ownRecords(fixture.log).reduce(0) { count, json in
          count + 1 + (json.firstRange(of: "\"suppressed\":").map { Int(json[$0.upperBound...].prefix(while: \.isNumber)) ?? 0 } ?? 0)
        }
        return told == 301 + 2
      })
    #expect(try ownRecords(fixture.log).contains { $0.contains(#""hub":"h","kind":"producer_taken_over""#) })
    let windows = Int((ContinuousClock.now - began) / .seconds(1)) + 2
    #expect(try ownRecords(fixture.log).count <= 11 * windows)
  }
}
