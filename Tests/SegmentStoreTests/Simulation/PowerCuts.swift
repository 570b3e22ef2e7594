import AuditLog
import Glibc
import SegmentStore
import TestSupport

/// Cuts the power of workloads, and looks at what the next start makes of it.
final class PowerCuts {
  /// Crashes so far, each with a start of the store after it.
  private(set) var count = 0
  private var random: SeededRandom
  private let seed: UInt64

  init(seed: UInt64) {
    self.seed = seed
    random = SeededRandom(seed: seed)
  }

  // MARK: Short sequences

  /// Opens a new log, takes all steps, and cuts the power before each call of the last one and at its end, with several outcomes each.
  func run(_ steps: [Step], _ configuration: SegmentStoreConfiguration) throws {
    let workload = Workload(configuration)
    var calls: [String] = []
    do {
      if !steps.isEmpty { try workload.run(.dropAndOpen) }
      for step in steps.dropLast() { try workload.run(step) }
      workload.beforeChange = { [self] workload, call in
        calls.append(call)
        try workload.checkVisible()
        try cutHere(workload, depth: 2)
      }
      if let last = steps.last { try workload.run(last) } else { try workload.run(.dropAndOpen) }
      try cutHere(workload, depth: 1)
    } catch {
      throw FixtureError("seed \(seed), \(steps), at the last of the calls \(calls): \(error)")
    }
  }

  /// Tries outcomes of a crash at this moment: all of them, where they are few.
  private func cutHere(_ workload: Workload, depth: Int) throws {
    let state = workload.disk.state
    // The process dies and the machine goes on: all is there, nothing more is synced.
    try survive(workload, state, depth: depth, "killed")
    let isAll = try CrashChoices.forEach(limit: 16) { choices in
      try survive(workload, state.afterCrash(&choices), depth: depth, "\(choices.history.map(\.answer))")
    }
    if isAll { return }
    for mode in [.everything] + (1...4).map({ CrashChoices.Mode.prefix(count: $0) }) + [.subset(tears: false), .subset(tears: true)] {
      var choices = CrashChoices(mode, seed: random.next())
      try survive(workload, state.afterCrash(&choices), depth: depth, "\(mode) \(choices.history.map(\.answer))")
    }
  }

  /// Tries a few outcomes of a crash at this moment, for tests that have very many moments.
  func cutHereInFewWays(_ workload: Workload) throws {
    let state = workload.disk.state
    try survive(workload, state, depth: 0, "killed")
    for mode in [CrashChoices.Mode.nothing, .everything, .subset(tears: true)] {
      var choices = CrashChoices(mode, seed: random.next())
      try survive(workload, state.afterCrash(&choices), depth: 0, "\(mode) \(choices.history.map(\.answer))")
    }
  }

  /// Starts on `state`, sometimes with a crash at each call of the recovery too; then appends, and loses all that is not synced.
  private func survive(_ workload: Workload, _ state: SimulatedState, depth: Int, _ outcome: @autoclosure () -> String) throws {
    count += 1
    do {
      let next = Workload(workload, restartedWith: state)
      if depth > 0, random.oneIn(8) {
        next.beforeChange = { [self] next, _ in
          guard random.oneIn(2) else { return }
          var choices = CrashChoices(random: &random)
          try survive(next, next.disk.state.afterCrash(&choices), depth: depth - 1, "in recovery \(choices.history.map(\.answer))")
        }
      }
      try next.run(.dropAndOpen)
      next.beforeChange = nil
      try next.run(random.oneIn(4) ? Step.all(workload.configuration)[random.below(3)] : .append(records: 1, textBytes: 20))
      if random.oneIn(2) { try next.run(.checkpoint) }
      count += 1
      var choices = CrashChoices(.nothing)
      let last = Workload(next, restartedWith: next.disk.state.afterCrash(&choices))
      try last.run(.dropAndOpen)
      guard last.store?.status.tornBytes == 0 else { throw FixtureError("something was torn although all of it was synced") }
    } catch {
      throw FixtureError("crash \(count) (\(outcome())): \(error)")
    }
  }

  // MARK: Long workloads

  /// Takes a log of some shape through many steps, with a crash in most of them. The next start goes on with what the crash left.
  func wander() throws {
    let configuration = PowerLossTests.configuration(
      segmentBytes: random.pick([1024, 2048, 4096, 16384]), zeroAheadBytes: random.pick([0, 100, 700, 4096]),
      checkpoints: random.oneIn(2) ? "/elsewhere" : nil)
    var workload = Workload(configuration)
    var history: [String] = []
    do {
      for _ in 0..<random.below(100) {
        let step = workload.store == nil ? .dropAndOpen : randomStep(configuration)
        var callsLeft = random.oneIn(4) ? Int.max : random.below(16)
        let isFaulty = random.oneIn(6)
        workload.beforeChange = { workload, _ in
          if callsLeft % 4 == 0, !isFaulty { try workload.checkVisible() }
          if callsLeft == 0 { workload.cutPower() }
          callsLeft -= 1
        }
        history.append("\(step)")
        if isFaulty {
          workload.disk.random = SeededRandom(seed: random.next())
          workload.faults.fail(.init(after: random.below(30), error: random.pick([EIO, ENOSPC, EINTR])))
        }
        do { try workload.run(step) } catch let error as StoreError where !workload.faults.struck.isEmpty {
          history.append("\(error.code)")
        }
        history += workload.faults.struck.map { "struck: \($0.call) of \($0.path)" }
        workload.faults.heal()
        // A log that has failed is of no more use until its process ends.
        guard workload.isOff || workload.store?.status.appendFailure?.code == .failed else { continue }
        count += 1
        if random.oneIn(8) {
          workload = Workload(workload, restartedWith: workload.disk.state)
          history.append("killed")
        } else {
          var choices = CrashChoices(random: &random)
          workload = Workload(workload, restartedWith: workload.disk.state.afterCrash(&choices))
          history.append("power cut \(choices.history.map(\.answer))")
        }
      }
    } catch {
      throw FixtureError("seed \(seed), \(configuration), \(history.suffix(20)): \(error)")
    }
  }

  private func randomStep(_ configuration: SegmentStoreConfiguration) -> Step {
    switch random.below(10) {
    case 0...3: .append(records: 1 + random.below(3), textBytes: random.below(120))
    case 4: .append(records: 1 + random.below(4), textBytes: random.below(1500))
    case 5: .append(records: 1, textBytes: random.below(Int(configuration.segmentBytes) * 3 / 2))
    default: random.pick(Step.all(configuration))
    }
  }
}
