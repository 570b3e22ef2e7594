import AuditSchema

/// A secret that a welcome gives a producer's client: whoever shows it had the producer before.
struct SessionToken {
  static let byteCount = 16

  private let words: (UInt64, UInt64)

  /// From the system's secure random numbers.
  init() { words = (.random(in: .min ... .max), .random(in: .min ... .max)) }

  /// - Returns: `nil` for another number of bytes.
  init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    words = bytes.withUnsafeBytes { ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) }
  }

  /// Of a producer that may have been forgotten, told which number it declared: the server keeps no entry that has no record, and knows this
  /// one all the same.
  ///
  /// - Parameter key: of this process.
  init(forgotten hub: String, _ producer: String, declared: UInt64, key: SessionToken) {
    let named = key.bytes + withUnsafeBytes(of: declared.littleEndian, Array.init) + [UInt8(truncatingIfNeeded: hub.utf8.count)] + hub.utf8
    let check = SHA256.hash(named + [0] + producer.utf8).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
    words = (declared, check)
  }

  /// The number that was declared, where this is such a token.
  func declared(by hub: String, _ producer: String, key: SessionToken) -> UInt64? {
    isSame(as: SessionToken(forgotten: hub, producer, declared: words.0, key: key)) ? words.0 : nil
  }

  var bytes: [UInt8] { withUnsafeBytes(of: words) { Array($0) } }

  /// Takes the same time whatever they differ in.
  func isSame(as other: SessionToken) -> Bool { (words.0 ^ other.words.0) | (words.1 ^ other.words.1) == 0 }
}

/// What is known of one producer.
///
/// Its connections come in lines: a hello with the token of an earlier welcome continues that one's line, a hello without one begins a new
/// line. The line that said hello last has the producer, and only its newest connection may append. An older line takes it back with its
/// token; from then on no younger line gets it while a connection of the older one is open.
final class ProducerEntry {
  /// Connections that followed each other, with one token.
  struct Line {
    /// Counts up: the older line has the smaller number.
    let id: UInt64
    let token: SessionToken
    /// Those that are open.
    var connections = 0
    /// When the last one closed, as `ProducerTable` counts.
    var closedAt: UInt64 = 0
    var hasAppended = false
    /// How many stretches there were before it.
    let born: UInt64
    /// The number from which on other lines used numbers after this one's last.
    var takenAt: UInt64?
    /// It has taken the producer back from a younger line.
    var isDefended = false
  }

  /// Which line has used the numbers from one on, up to the next stretch. Of those below the first it is not known.
  struct Stretch {
    let first: UInt64
    let line: UInt64
    /// Counts up.
    let serial: UInt64
  }

  static let maximumLines = 8
  static let maximumStretches = 8

  let hub: String
  let producer: String
  /// The number that the next event must have, and the sequence of the last record: as of the last commit.
  var next: UInt64
  var lastSequence: UInt64?
  /// The same with the commits whose outcome is not known yet.
  var pendingNext: UInt64
  var pendingLast: UInt64?
  /// Whether the commit that is made has events of it, and the one that is being stored.
  var isPending = false
  var isUnderWay = false
  var isForgotten = false
  /// No connection has it, and it is kept for its records.
  var isIdle = false
  /// How many of its events have records, about: a commit that failed is not taken off.
  var records: UInt64 = 0
  /// Counts up with every use of any entry.
  var lastUse: UInt64 = 0
  /// The connections that have said hello as this producer and are open: as long as there is one it is not forgotten.
  var connections = 0
  /// The connection that may append: what an older one still has on its way would be taken for its numbers. And its line.
  private(set) var holder: UInt64 = 0
  private var isHolderOpen = false
  private(set) var holdingLine: UInt64 = 0
  /// The server may have forgotten an earlier entry of this producer, so that its numbers from `next` on may be stored already.
  var isDoubtful = false

  private var lines: [Line] = []
  private var lastLine: UInt64 = 0
  private var stretches: [Stretch] = []
  private var lastStretch: UInt64 = 0

  init(hub: String, producer: String) {
    self.hub = hub
    self.producer = producer
    (next, pendingNext) = (1, 1)
  }

  func set(next: UInt64, lastSequence: UInt64?) {
    (self.next, pendingNext) = (next, next)
    (self.lastSequence, pendingLast) = (lastSequence, lastSequence)
  }

  /// Undoes what commits did to it whose outcome is not known yet.
  func rollBack() { (pendingNext, pendingLast) = (next, lastSequence) }

  // MARK: - Who has it

  /// - Returns: `nil` for a token that no line has, and for none.
  func line(with token: SessionToken?) -> UInt64? {
    guard let token else { return nil }
    var found: UInt64?
    for line in lines where line.token.isSame(as: token) { found = line.id }
    return found
  }

  /// Whether it was this line that had it last.
  func isHeld(by line: UInt64?) -> Bool { holdingLine == 0 || line == holdingLine }

  /// Whether a hello of this line, or of a new one, has to wait until the connection that has the producer is closed.
  func isDefended(against line: UInt64?) -> Bool {
    guard let holding = lines.first(where: { $0.id == holdingLine }) else { return false }
    return holding.isDefended && isHolderOpen && holding.id < line ?? .max
  }

  /// Makes room for a new line: those that never appended go first, then those whose last connection closed first.
  ///
  /// - Returns: false when each of them has an open connection.
  func makeRoomForLine() -> Bool {
    guard lines.count >= Self.maximumLines else { return true }
    let closed = lines.indices.filter { lines[$0].connections == 0 }
    let first = closed.min { one, other in
      lines[one].hasAppended == lines[other].hasAppended ? lines[one].closedAt < lines[other].closedAt : !lines[one].hasAppended
    }
    guard let first else { return false }
    lines.remove(at: first)
    return true
  }

  enum Taking {
    /// It was nobody's, or the same line's.
    case own
    /// From a connection that is open, of another line.
    case over
    /// From a younger line.
    case back
  }

  /// A connection said hello and has the producer from here on.
  ///
  /// - Parameters:
  ///   - known: its line; `nil`: a new one.
  ///   - token: of a new line.
  func take(by connection: UInt64, line known: UInt64?, token: SessionToken) -> (token: SessionToken, line: UInt64, taking: Taking) {
    let position: Int
    if let known, let found = lines.firstIndex(where: { $0.id == known }) {
      position = found
    } else {
      lastLine += 1
      lines.append(Line(id: lastLine, token: token, born: lastStretch))
      position = lines.count - 1
    }
    let line = lines[position].id
    let taking: Taking = line < holdingLine ? .back : line > holdingLine && isHolderOpen ? .over : .own
    if taking == .back { lines[position].isDefended = true }
    lines[position].connections += 1
    connections += 1
    (holder, holdingLine, isHolderOpen) = (connection, line, true)
    return (lines[position].token, line, taking)
  }

  func closed(_ connection: UInt64, line: UInt64, at use: UInt64) {
    connections -= 1
    if connection == holder { isHolderOpen = false }
    guard let position = lines.firstIndex(where: { $0.id == line }) else { return }
    lines[position].connections -= 1
    lines[position].closedAt = use
  }

  // MARK: - Whose numbers are whose

  /// The line that appended last, if none has skipped numbers since.
  private(set) var appendingLine: UInt64 = 0

  /// Another line than `appendingLine` appends an event with this number.
  func append(from number: UInt64, by line: UInt64) {
    use(from: number, by: line)
    appendingLine = line
    if let position = lines.firstIndex(where: { $0.id == line }) { lines[position].hasAppended = true }
  }

  /// A line skips numbers.
  func skip(from number: UInt64, by line: UInt64) {
    use(from: number, by: line)
    appendingLine = 0
  }

  private func use(from number: UInt64, by line: UInt64) {
    for position in lines.indices {
      if lines[position].id == line {
        lines[position].takenAt = nil
      } else if lines[position].takenAt == nil {
        lines[position].takenAt = number
      }
    }
    guard stretches.last?.line != line else { return }
    if stretches.count >= Self.maximumStretches { stretches.removeFirst() }
    lastStretch += 1
    stretches.append(Stretch(first: number, line: line, serial: lastStretch))
  }

  /// The number that was expected when another line first used one after this line's last.
  func takenAt(for line: UInt64) -> UInt64? { lines.first { $0.id == line }?.takenAt }

  /// The first of some numbers that another line has used since this one began.
  func foreignNumber(in numbers: Range<UInt64>, to line: UInt64) -> UInt64? {
    guard let born = lines.first(where: { $0.id == line })?.born else { return nil }
    for (position, stretch) in stretches.enumerated() where stretch.line != line && stretch.serial > born {
      let end = position + 1 < stretches.count ? stretches[position + 1].first : .max
      let first = max(stretch.first, numbers.lowerBound)
      if first < min(end, numbers.upperBound) { return first }
    }
    return nil
  }
}
