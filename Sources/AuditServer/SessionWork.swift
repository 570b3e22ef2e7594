import NIOCore
import NIOPosix

/// Work away from the event loop: jobs on the reader threads, whose results come back to the loop.
extension Session {
  /// Runs `work` on a reader thread, then `then` on the loop. While a connection has more jobs than it may have reads and subscriptions, it is
  /// not read from.
  ///
  /// - Parameters:
  ///   - asStep: whether its result will be written. If the peer does not keep up when the job's turn comes, `then` gets `StepSkipped`.
  ///   - work: gets the maximum bytes of a step.
  func runJob<Value: Sendable>(
    asStep: Bool = false, _ work: @escaping @Sendable (_ stepBytes: Int) throws -> Value,
    then: @escaping @Sendable (Session, Result<Value, any Error>) -> Void
  ) {
    jobs += 1
    updateReading()
    shard.jobs.add(of: serial, identity: access.usage?.group) { [self] in
      // An ending connection needs no results.
      guard !isEnding, !asStep || canWrite() else {
        jobs -= 1
        then(self, .failure(StepSkipped()))
        updateReading()
        return false
      }
      let stepBytes = shard.stepBytes
      if asStep { stepsUnderWay += 1 }
      let reference = NIOLoopBound(self, eventLoop: shard.loop)
      shard.readers.runIfActive(eventLoop: shard.loop) { try work(stepBytes) }.whenComplete { result in
        let session = reference.value
        session.jobs -= 1
        if asStep { session.stepsUnderWay -= 1 }
        then(session, result)
        session.updateReading()
        session.finishIfDone()
        session.shard.jobs.ended()
        session.shard.flush()
      }
      return true
    }
  }

  /// Runs `work` as one job after the other until it has a result. Other connections' jobs run in between.
  ///
  /// - Parameter work: a bounded step.
  func runSteps<Value: Sendable>(
    _ work: @escaping @Sendable () throws -> Value?, then: @escaping @Sendable (Session, Result<Value, any Error>) -> Void
  ) {
    runJob { _ in
      try work()
    } then: { session, result in
      switch result {
      case .success(nil): session.runSteps(work, then: then)
      case .success(let value?): then(session, .success(value))
      case .failure(let error): then(session, .failure(error))
      }
    }
  }

  /// Whether the next step of a replay must wait, because its identity reads faster than its quota allows.
  ///
  /// - Parameters:
  ///   - waiter: who waits.
  ///   - over: called on the loop when the wait is over.
  func waitsToReplay<Waiter: AnyObject>(_ waiter: Waiter, over: @escaping @Sendable (Waiter) -> Void) -> Bool {
    guard let wait = access.usage?.replayWait() else { return false }
    let reference = NIOLoopBound(waiter, eventLoop: shard.loop)
    shard.loop.scheduleTask(in: TimeAmount(wait)) { [shard] in
      over(reference.value)
      shard.flush()
    }
    return true
  }
}
