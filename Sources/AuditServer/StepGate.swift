import Synchronization

/// Tells the reader threads whether a connection can be written to. A peer may have many steps wait for a thread; once it takes nothing,
/// those must not read what would have to be kept for it.
final class StepGate: Sendable {
  private let state = Atomic<Bool>(true)

  var isOpen: Bool { state.load(ordering: .relaxed) }

  func set(_ isOpen: Bool) { state.store(isOpen, ordering: .relaxed) }
}

/// A step was not taken since its connection cannot be written to; it is asked for again when it can.
struct StepSkipped: Error {}
