import AuditSchema

/// A secret in a producer's welcome. A client that shows it later had the producer before.
struct SessionToken {
  static let byteCount = 16

  private let words: (UInt64, UInt64)

  /// From the system's secure random numbers.
  init() { words = (.random(in: .min ... .max), .random(in: .min ... .max)) }

  /// - Returns: `nil` unless there are 16 bytes.
  init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    words = bytes.withUnsafeBytes { ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) }
  }

  /// A token for a producer that may have been forgotten. It encodes the number that the client declared, so the server recognises it without
  /// keeping an entry.
  ///
  /// - Parameter key: secret of this process.
  init(forgotten hub: String, _ producer: String, declared: UInt64, key: SessionToken) {
    let named = key.bytes + withUnsafeBytes(of: declared.littleEndian, Array.init) + [UInt8(truncatingIfNeeded: hub.utf8.count)] + hub.utf8
    let check = SHA256.hash(named + [0] + producer.utf8).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
    words = (declared, check)
  }

  /// The declared number, if this is such a token.
  func declared(by hub: String, _ producer: String, key: SessionToken) -> UInt64? {
    isSame(as: SessionToken(forgotten: hub, producer, declared: words.0, key: key)) ? words.0 : nil
  }

  var bytes: [UInt8] { withUnsafeBytes(of: words) { Array($0) } }

  /// Compares in constant time.
  func isSame(as other: SessionToken) -> Bool { (words.0 ^ other.words.0) | (words.1 ^ other.words.1) == 0 }
}

/// The state of one producer.
///
/// Its connections form lines: a hello with the token of an earlier welcome continues that line, a hello without a token begins a new one. The
/// line of the last hello has the producer, and only its newest connection may append. An older line can take the producer back with its
/// token. After that, no younger line gets it while a connection of the older line is open.
final class ProducerEntry {
  /// Successive connections that share a token.
  struct Line {
    /// Older lines have smaller numbers.
    let id: UInt64
    let token: SessionToken
    /// Number of open connections.
    var connections = 0
    /// When the last connection closed, in `ProducerTable`'s count of uses.
    var closedAt: UInt64 = 0
    var hasAppended = false
    /// Number of stretches before this line began.
    let born: UInt64
    /// The first number that another line used after this line's last.
    var takenAt: UInt64?
    /// Whether it has taken the producer back from a younger line.
    var isDefended = false
  }

  /// A range of numbers that one line used: from `start` up to the next stretch. Who used numbers below the first stretch is unknown.
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
  /// The principal of the first hello that had one: no other principal gets the producer.
  var principal: String?
  /// The number that the next event must have, and the sequence of the newest record, as of the last durable commit.
  var next: UInt64
  var lastSequence: UInt64?
  /// The same, including commits whose outcome is not known yet.
  var pendingNext: UInt64
  var pendingLast: UInt64?
  /// Whether the commit being sealed, and the commit being stored, have events of this producer.
  var isPending = false
  var isUnderWay = false
  var isForgotten = false
  /// Whether it has no connection and is kept because it has records.
  var isIdle = false
  /// Approximate number of its records: failed commits are not subtracted.
  var records: UInt64 = 0
  /// Time of the last use, as a count of uses of all entries.
  var lastUse: UInt64 = 0
  /// Open connections that said hello as this producer. While there is one, the producer is not forgotten.
  var connections = 0
  /// The connection that may append, and its line. Events of older connections that are still on their way would be taken for its numbers.
  private(set) var holder: UInt64 = 0
  private var isHolderOpen = false
  private(set) var holdingLine: UInt64 = 0
  /// Whether an earlier entry of this producer may have been forgotten, so that numbers from `next` on may be stored already.
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

  /// Rolls back the commits whose outcome is not known yet.
  func rollBack() { (pendingNext, pendingLast) = (next, lastSequence) }

  // MARK: - Who has it

  /// - Returns: `nil` for an unknown token, and for `nil`.
  func line(with token: SessionToken?) -> UInt64? {
    guard let token else { return nil }
    var found: UInt64?
    for line in lines where line.token.isSame(as: token) { found = line.id }
    return found
  }

  /// Whether this line had the producer last.
  func isHeld(by line: UInt64?) -> Bool { holdingLine == 0 || line == holdingLine }

  /// Whether a hello of this line (`nil`: a new one) is refused until the connection that has the producer is closed.
  func isDefended(against line: UInt64?) -> Bool {
    guard let holding = lines.first(where: { $0.id == holdingLine }) else { return false }
    return holding.isDefended && isHolderOpen && holding.id < line ?? .max
  }

  /// Makes room for a new line: removes one that never appended, or else the one whose last connection closed first.
  ///
  /// - Returns: false if every line has an open connection.
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
    /// Nobody had it, or the same line.
    case own
    /// Taken from an open connection of another line.
    case over
    /// Taken back from a younger line.
    case back
  }

  /// A connection said hello and has the producer from now on.
  ///
  /// - Parameters:
  ///   - known: its line; `nil` for a new one.
  ///   - token: for a new line.
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

  /// The line that appended last, unless a line has skipped numbers since.
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

  /// The number that was expected when another line first appended after this line's last event.
  func takenAt(for line: UInt64) -> UInt64? { lines.first { $0.id == line }?.takenAt }

  /// The first number of a range that another line has used since this one began.
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
