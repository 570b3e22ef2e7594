import AuditLog
import AuditSchema
import NIOCore

/// Appends that were stored before and wait for their first sequences, which are looked up in the log. A connection has one search at a time.
///
/// One search looks for all appends that wait, because their records lie close together. Waiting appends count as pending appends of the
/// connection: too many stop the reading from it. The cost of all connections' waiting appends is bounded by `EventLoopShard.lookUps`.
struct NumberLookUps {
  /// An append that waits for its answer.
  struct LookUp {
    let id: UInt64
    let isProven: Bool
    /// Its old numbers, and the positions (from the first of them) of events that made no record.
    let numbers: Range<UInt64>
    let ignored: [UInt32]
    let newSequences: Range<UInt64>
    /// Sequence of the producer's newest record before it; `nil` if there was none.
    let lastSequence: UInt64?
    /// Bytes that it counts as.
    let cost: Int

    /// The numbers of the events that made records.
    var recorded: [UInt64] { Session.recordNumbers(of: numbers, ignored: ignored[...]) }
  }

  /// Maximum events of one search; one append may have more.
  private static let searchedEvents = 10_000

  private var waiting = CircularBuffer<LookUp>()
  private(set) var isSearching = false

  mutating func add(_ lookUp: LookUp) { waiting.append(lookUp) }

  /// The appends of the next search; empty if none waits, or a search is under way.
  mutating func begin() -> [LookUp] {
    guard !isSearching else { return [] }
    var group: [LookUp] = []
    var events = 0
    while let next = waiting.first, group.isEmpty || events + next.numbers.count <= Self.searchedEvents {
      events += next.numbers.count
      group.append(waiting.removeFirst())
    }
    isSearching = !group.isEmpty
    return group
  }

  mutating func end() { isSearching = false }
}

extension Session {
  /// Minimum cost of an append that is looked up, in bytes.
  private static let lookUpCost = 512

  /// Answers an append of which a part was stored before: looks up the sequences of that part in the log.
  func answerDuplicate(_ request: AppendBatch.Request, of batch: AppendBatch, stored: Int, lastSequence: UInt64?, first: UInt64?) {
    let ignored = Array(batch.ignored(of: request))
    let number = request.firstNumber ?? 0
    let numbers = number..<number + UInt64(stored)
    let oldCount = stored - ignored.prefix { $0 < stored }.count
    let newSequences = first.map { $0..<$0 + UInt64(request.spans.count - oldCount) } ?? 0..<0
    guard oldCount > 0 else {
      return answer(
        request.id, isProven: request.isProven,
        Appended(recorded: newSequences.count, ignoredEvents: ignored, firstSequence: first))
    }
    let cost = max(request.cost, Self.lookUpCost)
    guard shard.lookUps.admits(cost) else {
      return refuse(
        append: request.id,
        RequestError(
          .overloaded, "more appends that were stored before wait to be looked up than the server may hold; send again in a moment"))
    }
    shard.lookUps.take(cost)
    pendingAppends += 1
    pendingBytes += cost
    lookUps.add(
      NumberLookUps.LookUp(
        id: request.id, isProven: request.isProven, numbers: numbers, ignored: ignored, newSequences: newSequences,
        lastSequence: lastSequence, cost: cost))
    lookUp()
  }

  private func lookUp() {
    let group = lookUps.begin()
    guard !group.isEmpty else { return }
    guard let source, let last = group.compactMap(\.lastSequence).max() else { return found(group, .success([:])) }
    let numbers = Set(group.lazy.flatMap(\.recorded))
    let history = ProducerHistory(of: numbers, origin: source.origin, lastSequence: last, in: shard.log.store)
    runSteps {
      try history.step()
    } then: { session, result in
      session.found(group, result)
    }
  }

  private func found(_ group: [NumberLookUps.LookUp], _ result: Result<[UInt64: UInt64], any Error>) {
    for lookUp in group {
      pendingAppends -= 1
      pendingBytes -= lookUp.cost
      shard.lookUps.giveBack(lookUp.cost)
      guard !isEnding else { continue }
      switch result {
      case .success(let sequences): answer(lookUp, sequences)
      case .failure(let error): refuse(append: lookUp.id, RequestError(storeError: error))
      }
    }
    lookUps.end()
    appendsAnswered()
    lookUp()
  }

  private func answer(_ lookUp: NumberLookUps.LookUp, _ found: [UInt64: UInt64]) {
    let numbers = lookUp.recorded
    let old = numbers.compactMap { found[$0] }
    guard old.count == numbers.count else {
      let missing = numbers.first { found[$0] == nil } ?? 0
      let error = RequestError(unknownNumber: missing, source?.origin, event: missing - lookUp.numbers.lowerBound)
      return refuse(append: lookUp.id, error)
    }
    let all = old + lookUp.newSequences
    let isContiguous = all[all.count - 1] - all[0] == UInt64(all.count - 1)
    answer(
      lookUp.id, isProven: lookUp.isProven,
      Appended(
        recorded: all.count, ignoredEvents: lookUp.ignored, firstSequence: all.first, duplicates: old.count,
        scatteredSequences: isContiguous ? [] : all))
  }
}
