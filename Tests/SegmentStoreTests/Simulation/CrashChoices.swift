import TestSupport
/// Decides, of everything that was not synced when the power failed, what the disk holds.
///
/// An answer of 0 always means "as it was before", the highest one "as if it had been synced".
struct CrashChoices {
  enum Mode {
    case nothing
    case everything
    /// The first `count` changes in the order in which they were made.
    case prefix(count: Int)
    /// Each sector, size and name on its own; `tears`: a sector may be kept in part.
    case subset(tears: Bool)
    /// These answers, and 0 behind them: for going through all of them.
    case listed([Int])
  }

  private let mode: Mode
  private var random: SeededRandom
  /// How many answers were possible, and which one was given, at each question so far.
  private(set) var history: [(options: Int, answer: Int)] = []

  init(_ mode: Mode, seed: UInt64 = 0) {
    self.mode = mode
    random = SeededRandom(seed: seed)
  }

  /// Any of the modes.
  init(random: inout SeededRandom) {
    let mode: Mode =
      switch random.below(8) {
      case 0: .nothing
      case 1: .everything
      case 2, 3: .prefix(count: random.below(12))
      case 4: .subset(tears: true)
      default: .subset(tears: false)
      }
    self.init(mode, seed: random.next())
  }

  mutating func isKept() -> Bool { choose(2) == 1 }

  /// Which size a file has that was being made longer: a whole number of sectors between, or one of the two.
  mutating func size(from old: Int, to new: Int) -> Int {
    let sector = SimulatedFileContent.sectorBytes
    let firstBoundary = old / sector + 1
    let boundaries = max(0, (new - 1) / sector - firstBoundary + 1)
    switch choose(boundaries + 2) {
    case 0: return old
    case boundaries + 1: return new
    case let answer: return (firstBoundary + answer - 1) * sector
    }
  }

  /// How many bytes of a sector's part got to the disk.
  mutating func keptBytes(of count: Int) -> Int {
    if case .subset(tears: true) = mode, random.oneIn(3) { return random.below(count + 1) }
    return isKept() ? count : 0
  }

  private mutating func choose(_ options: Int) -> Int {
    let answer =
      switch mode {
      case .nothing: 0
      case .everything: options - 1
      case .prefix(let count): history.count < count ? options - 1 : 0
      // A file of its new size with sectors missing is the usual case.
      case .subset: options > 2 && !random.oneIn(3) ? options - 1 : random.below(options)
      case .listed(let answers): history.count < answers.count ? min(answers[history.count], options - 1) : 0
      }
    history.append((options, answer))
    return answer
  }

  /// Calls `body` with choices that are different each time, until all there are were made.
  ///
  /// - Returns: `false` when there are more than `limit`; the rest was not made.
  static func forEach(limit: Int, _ body: (inout CrashChoices) throws -> Void) rethrows -> Bool {
    var answers: [Int] = []
    for _ in 0..<limit {
      var choices = CrashChoices(.listed(answers))
      try body(&choices)
      guard let last = choices.history.lastIndex(where: { $0.answer + 1 < $0.options }) else { return true }
      answers = choices.history[..<last].map(\.answer) + [choices.history[last].answer + 1]
    }
    return false
  }
}
