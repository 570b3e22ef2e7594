import NIOCore

/// The life of one connection as a value: it decides what comes next and does no I/O. `Session` does what it says.
package struct SessionState {
  package enum Phase: Equatable {
    /// The first frame must be a hello and arrive by then.
    case awaitingHello(until: NIODeadline)
    /// The sequencer has been asked for the producer's next number. Received frames wait.
    case greeting
    case open
    /// The server shuts down: no more requests. The connection ends when everything under way is answered.
    case draining
    /// The sending side closes when everything is written. The peer has until `closeBy` to read that; `nil`: as long as it keeps reading.
    case ending(closeBy: NIODeadline?)
    /// The socket is closed, or about to be.
    case closed
  }

  package enum Step: Equatable {
    case none
    /// Write an error, then close the sending side.
    case fail
    /// End all reads and subscriptions, and see whether anything is left.
    case endWork
    /// Close the sending side; what is written before still goes out.
    case closeOutput
    /// As `closeOutput`, when no frame waits and no subscription has anything left to push.
    case closeOutputWithoutSubscriptions
    case close
  }

  package private(set) var phase: Phase
  /// The peer has shut down its sending side. It sends no more requests, and may still read.
  package private(set) var isInputClosed = false
  /// The socket is not read from.
  package private(set) var isReadingStopped = false

  package init(helloUntil: NIODeadline) { phase = .awaitingHello(until: helloUntil) }

  package var isAwaitingHello: Bool { if case .awaitingHello = phase { true } else { false } }

  package var isGreeting: Bool { phase == .greeting }

  /// Whether requests are no longer answered.
  package var isEnding: Bool {
    switch phase {
    case .ending, .closed: true
    case .awaitingHello, .greeting, .open, .draining: false
    }
  }

  package var isClosed: Bool { phase == .closed }

  /// Whether received frames are processed.
  package var takesFrames: Bool {
    switch phase {
    case .awaitingHello, .open: !isReadingStopped
    case .greeting, .draining, .ending, .closed: false
    }
  }

  // MARK: - What happens

  /// A hello with a producer.
  package mutating func greet() {
    precondition(isAwaitingHello, "a connection was greeted twice")
    phase = .greeting
  }

  /// The welcome goes out.
  package mutating func welcome() {
    precondition(isAwaitingHello || isGreeting, "a connection was welcomed twice")
    phase = .open
  }

  /// The peer sends nothing more.
  package mutating func inputClosed() { isInputClosed = true }

  /// An error ends the connection.
  ///
  /// - Returns: false when it is ending already.
  package mutating func end(closeBy: NIODeadline?) -> Bool {
    guard !isEnding else { return false }
    phase = .ending(closeBy: closeBy)
    return true
  }

  /// - Returns: false when it is closed already.
  package mutating func close() -> Bool {
    defer { phase = .closed }
    return phase != .closed
  }

  /// The server goes down.
  package mutating func drain() -> Step {
    switch phase {
    case .ending, .closed: return .none
    case .awaitingHello, .greeting: return .fail
    case .open, .draining:
      phase = .draining
      return .endWork
    }
  }

  /// The step that follows when something under way is done.
  ///
  /// - Parameter jobs: on reader threads.
  package func finish(appends: Int, reads: Int, jobs: Int) -> Step {
    switch phase {
    case .draining: appends == 0 && reads == 0 ? .closeOutput : .none
    case .open: isInputClosed && appends == 0 && jobs == 0 && reads == 0 ? .closeOutputWithoutSubscriptions : .none
    case .awaitingHello, .greeting, .ending, .closed: .none
    }
  }

  /// - Parameter wanted: whether there is a reason to stop other than the phase.
  /// - Returns: whether the socket has to be told.
  package mutating func stopReading(_ wanted: Bool) -> Bool {
    guard !isEnding else { return false }
    let stop = wanted || phase == .greeting || phase == .draining
    defer { isReadingStopped = stop }
    return stop != isReadingStopped
  }

  /// The step that a deadline asks for: `fail` if no hello has come, `close` if the peer had its time to read the last frames.
  package func deadline(_ now: NIODeadline) -> Step {
    switch phase {
    case .awaitingHello(let until): now >= until ? .fail : .none
    case .ending(let closeBy?): now >= closeBy ? .close : .none
    case .greeting, .open, .draining, .ending(closeBy: nil), .closed: .none
    }
  }
}
