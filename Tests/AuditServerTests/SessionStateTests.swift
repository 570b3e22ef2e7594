import AuditServer
import NIOCore
import Testing

/// The life of a connection, told as what happens and what follows from it.
@Suite struct SessionStateTests {
  private static let soon = NIODeadline.uptimeNanoseconds(1_000)
  private static let later = NIODeadline.uptimeNanoseconds(2_000)

  private func open() -> SessionState {
    var state = SessionState(helloUntil: Self.soon)
    state.welcome()
    return state
  }

  @Test("a hello, a greeting by the sequencer, a welcome: frames wait in between")
  func hello() {
    var state = SessionState(helloUntil: Self.soon)
    #expect(state.isAwaitingHello && state.takesFrames)
    state.greet()
    let step1 = state.stopReading(false)
    #expect(step1 && state.isReadingStopped && !state.takesFrames)
    state.welcome()
    #expect(!state.takesFrames)
    let step2 = state.stopReading(false)
    #expect(step2 && state.takesFrames)
  }

  @Test("no hello by the deadline fails the connection, once")
  func noHello() {
    var state = SessionState(helloUntil: Self.soon)
    #expect(state.deadline(.uptimeNanoseconds(999)) == .none)
    #expect(state.deadline(Self.soon) == .fail)
    let step3 = state.end(closeBy: Self.later)
    let step4 = state.end(closeBy: Self.later)
    #expect(step3 && !step4)
    #expect(state.isEnding && !state.isClosed && !state.takesFrames)
    #expect(state.deadline(Self.soon) == .none && state.deadline(Self.later) == .close)
    let step5 = state.close()
    let step6 = state.close()
    #expect(step5 && !step6)
    #expect(state.deadline(Self.later) == .none)
  }

  @Test("one that reads its answers without a time limit is not closed by a deadline")
  func unboundedEnd() {
    var state = open()
    let step7 = state.end(closeBy: nil)
    #expect(step7)
    #expect(state.deadline(.distantFuture) == .none)
  }

  @Test("reading stops and goes on when there is a reason, and the socket is told of changes only")
  func reading() {
    var state = open()
    let step8 = state.stopReading(false)
    #expect(!step8)
    let step9 = state.stopReading(true)
    #expect(step9 && !state.takesFrames)
    let step10 = state.stopReading(true)
    #expect(!step10)
    let step11 = state.stopReading(false)
    #expect(step11 && state.takesFrames)
    _ = state.end(closeBy: nil)
    let step12 = state.stopReading(true)
    #expect(!step12, "an ending connection is not read from anyway")
  }

  @Test("a peer that has shut its sending side down gets its answers first")
  func inputClosed() {
    var state = open()
    #expect(state.finish(appends: 0, reads: 0, jobs: 0) == .none)
    state.inputClosed()
    #expect(state.finish(appends: 1, reads: 0, jobs: 0) == .none)
    #expect(state.finish(appends: 0, reads: 1, jobs: 0) == .none)
    #expect(state.finish(appends: 0, reads: 0, jobs: 1) == .none)
    #expect(state.finish(appends: 0, reads: 0, jobs: 0) == .closeOutputWithoutSubscriptions)
  }

  @Test("a server that goes down fails those that are not welcomed, and lets the others finish their appends")
  func drain() {
    var early = SessionState(helloUntil: Self.soon)
    let step13 = early.drain()
    #expect(step13 == .fail)
    early.greet()
    let step14 = early.drain()
    #expect(step14 == .fail)
    var state = open()
    let step15 = state.drain()
    #expect(step15 == .endWork && !state.takesFrames)
    let step16 = state.stopReading(false)
    #expect(step16 && state.isReadingStopped)
    #expect(state.finish(appends: 1, reads: 0, jobs: 0) == .none)
    #expect(state.finish(appends: 0, reads: 0, jobs: 3) == .closeOutput, "nobody waits for these jobs any more")
    let step17 = state.end(closeBy: Self.later)
    let step18 = state.drain()
    #expect(step17 && step18 == .none)
  }

  @Test("a connection is greeted and welcomed once")
  func once() async {
    await #expect(processExitsWith: .failure) {
      var state = SessionState(helloUntil: .distantFuture)
      state.welcome()
      state.welcome()
    }
    await #expect(processExitsWith: .failure) {
      var state = SessionState(helloUntil: .distantFuture)
      state.greet()
      state.greet()
    }
  }
}
