import AuditLog
import Glibc
import SegmentStore
import Testing

/// Every call to the disk fails, one after the other, in every way; then the process is killed, or the power cut.
@Suite struct EveryCallTests {
  /// What goes wrong with the k-th call, or from the k-th call on.
  struct Fault: CustomStringConvertible, Sendable {
    var description: String
    var rule: FaultyFileSystem.Rule
    /// How many bytes of the first such write get through, as a short write without an error.
    var shortBytes: Int?
    /// Whether there is only no room, so that no append may end the log.
    var isFullDisk = false
  }

  private static let changing: Set = ["open", "mkdir", "rename", "unlink", "pwritev", "ftruncate", "fsync", "fdatasync"]

  static let faults: [Fault] = [true, false].flatMap { once in
    let how = once ? "once" : "for ever"
    return [
      Fault(description: "any call: EIO \(how)", rule: .init(error: EIO, once: once)),
      Fault(description: "any call: EINTR \(how)", rule: .init(error: EINTR, once: once)),
      Fault(description: "any change: ENOSPC \(how)", rule: .init(calls: changing, error: ENOSPC, once: once)),
      Fault(description: "any change: EDQUOT \(how)", rule: .init(calls: changing, error: EDQUOT, once: once)),
      Fault(description: "open: EMFILE \(how)", rule: .init(call: "open", error: EMFILE, once: once)),
      Fault(description: "write: ENOSPC \(how)", rule: .init(call: "pwritev", error: ENOSPC, once: once), isFullDisk: true),
      Fault(description: "write: 1 byte, short \(how)", rule: .init(call: "pwritev", once: once, shortBytes: 1, isShortOnly: true)),
      Fault(description: "write: 600 bytes, short \(how)", rule: .init(call: "pwritev", once: once, shortBytes: 600, isShortOnly: true)),
      Fault(description: "write: 45 bytes, then EIO \(how)", rule: .init(call: "pwritev", error: EIO, once: once, shortBytes: 45)),
      Fault(
        description: "write: 45 bytes, then EDQUOT \(how)", rule: .init(call: "pwritev", error: EDQUOT, once: once), shortBytes: 45,
        isFullDisk: true),
      Fault(description: "read: 20 bytes, short \(how)", rule: .init(call: "pread", once: once, shortBytes: 20, isShortOnly: true)),
      Fault(description: "sync: EIO \(how)", rule: .init(calls: ["fsync", "fdatasync"], error: EIO, once: once)),
    ]
  }

  @Test(
    "whatever call fails: nothing is acknowledged in vain, the error says what to do, and what was acknowledged is there", arguments: faults
  )
  func everyCall(fault: Fault) throws {
    let cuts = PowerCuts(seed: LabSettings.seed)
    var after = 0
    while try FaultyRun(fault, after: after).run(cuts) { after += 1 }
    print("faults: \(fault), at each of \(after) calls, \(cuts.count) crashes behind them, seed \(LabSettings.seed)")
    #expect(after > 10)
  }
}

/// A log that is used while one call, or every call from then on, fails.
private struct FaultyRun {
  private let fault: EveryCallTests.Fault
  private let after: Int
  private let workload: Workload

  init(_ fault: EveryCallTests.Fault, after: Int) {
    self.fault = fault
    self.after = after
    var configuration = PowerLossTests.configuration()
    // So that reads open files and load indexes again.
    configuration.cachedFiles = 1
    configuration.cachedIndexes = 1
    workload = Workload(configuration)
    var rule = fault.rule
    rule.after = after
    if let shortBytes = fault.shortBytes {
      workload.faults.fail(.init(call: "pwritev", after: after, shortBytes: shortBytes, isShortOnly: true))
      rule.after = 0
    }
    workload.faults.fail(rule)
  }

  /// - Returns: whether the fault struck.
  func run(_ cuts: PowerCuts) throws -> Bool {
    let small = Step.append(records: 1, textBytes: 30)
    let rolling = Step.append(records: 1, textBytes: Int(workload.configuration.segmentBytes) - 250)
    let steps: [Step] = [
      small, .append(records: 2, textBytes: 400), .checkpoint, rolling, .checkpoint, small, small, .closeAndOpen, small, .checkpoint,
      .dropAndOpen, rolling, .recover, small,
      .closeAndOpen,
    ]
    do {
      for step in steps {
        if workload.store == nil { try take(.dropAndOpen) }
        if workload.store != nil { try take(step) }
      }
      let struck = workload.faults.struck
      workload.faults.heal()
      if let store = workload.store, store.status.appendFailure?.code != .failed { try workload.run(small) }
      try cuts.cutHereInFewWays(workload)
      return !struck.isEmpty
    } catch {
      throw FixtureError(
        "\(fault), call \(after), which was \(workload.faults.struck.first.map { "\($0.call) of \($0.path)" } ?? "none"): \(error)")
    }
  }

  private func take(_ step: Step) throws {
    let struckBefore = workload.faults.struck.count
    let hadLostCheckpoint = workload.promise.evidence.underway != nil
    let hadFailed = workload.store?.status.appendFailure?.code == .failed
    do {
      try workload.run(step)
      try workload.checkVisible()
    } catch let error as StoreError {
      let struck = workload.faults.struck.dropFirst(struckBefore)
      try judge(error, of: step, struck: Array(struck), hadFailed: hadFailed, hadLostCheckpoint: hadLostCheckpoint)
    }
  }

  private func judge(_ error: StoreError, of step: Step, struck: [FaultyFileSystem.Strike], hadFailed: Bool, hadLostCheckpoint: Bool) throws
  {
    func check(_ isSo: Bool, _ what: String) throws {
      if !isSo { throw FixtureError("\(what); after \(struck.map(\.call)), \(step) said \(error.code): \(error)") }
    }
    if hadFailed, step.isAppend {
      try check(error.code == .failed, "a log that has failed stays so")
      return
    }
    // Checkpoints that have failed stay so; what is told is the first failure.
    if case .checkpoint = step, hadLostCheckpoint, error.code == .failed { return }
    let last = try #require(struck.last, "nothing failed, yet: \(error)")
    // A file that has its name by now is named by it, not by the one under which it was begun.
    let names = struck.map { (call: $0.call, path: $0.path.hasSuffix(".new") ? String($0.path.dropLast(4)) : $0.path) }
    try check(names.contains { error.message.contains($0.path) && error.message.contains($0.call) }, "the call and the file are named")
    try check(["check the disk", "free space", "make the directory"].contains { error.message.contains($0) }, "it says what to do")
    switch error.code {
    case .unusable: break
    case .full:
      try check(FileSystemError("", "", last.rule.error).isNoRoom || last.rule.error == EMFILE, "full is for want of room")
      try check(!struck.contains { $0.call.hasSuffix("sync") }, "a failed sync is final")
    case .failed:
      try check(!fault.isFullDisk, "a full disk ends nothing")
      // Of a close or a checkpoint, the error is all there is.
      guard step.isAppend, let store = workload.store else { return }
      try check(store.status.appendFailure?.code == .failed, "the status tells")
      let changes = ["pwritev", "fsync", "fdatasync", "ftruncate"].map(workload.faults.count)
      let again = try storeError { try workload.run(.append(records: 1, textBytes: 1)) }
      try check(again.message == error.message, "the next append is told the same")
      try check(changes == ["pwritev", "fsync", "fdatasync", "ftruncate"].map(workload.faults.count), "nothing more is tried")
    case .damaged, .tampered, .locked, .closed, .invalid: try check(false, "this is not what happened")
    }
  }
}
