import AuditClient
import AuditSchema

/// Appends the lines of a file in order. A line that the log does not take as a record is stored as an unreadable line.
struct ImportDelivery {
  /// One event.
  private struct Piece {
    var bytes: [UInt8]
    var isRecord: Bool
    /// Whether the line has no line end.
    var isUnterminated: Bool
    var line: UInt64
    var offset: UInt64
    /// Whether it is a whole line.
    var isWhole: Bool
    /// Why the line is no record, and how it was stored; reported after it is stored.
    var remark: String?

    var event: Event { isRecord ? .custom(json: bytes) : .unreadableLine(bytes, unterminated: isUnterminated) }
  }

  private static let batchEvents = 1000
  private static let batchBytes = 256 << 10

  let client: AuditClient
  let file: String
  let skipsTooLarge: Bool
  /// The number of the next event.
  var next: UInt64
  /// Number of lines that were kept and are no records.
  private(set) var unreadable: UInt64 = 0
  private(set) var skipped: UInt64 = 0
  private var batch: [Piece] = []
  private var bytes = 0
  /// Number of the line that was reported last.
  private var reported: UInt64 = 0

  init(client: AuditClient, file: String, skipsTooLarge: Bool, next: UInt64) {
    self.client = client
    self.file = file
    self.skipsTooLarge = skipsTooLarge
    self.next = next
  }

  mutating func add(_ line: ImportSource.Line) async throws {
    var piece = Piece(
      bytes: line.bytes, isRecord: false, isUnterminated: line.isUnterminated, line: line.number, offset: line.offset, isWhole: !line.isRest
    )
    if line.number == 1, !line.isRest, line.bytes.starts(with: ImportSource.byteOrderMark) {
      var mark = piece
      mark.bytes = ImportSource.byteOrderMark
      mark.isUnterminated = true
      batch.append(mark)
      piece.bytes.removeFirst(mark.bytes.count)
      piece.isWhole = false
    }
    piece.isRecord = !piece.isUnterminated && piece.bytes.withUnsafeBytes { JSONText.isObject($0) }
    if !piece.isRecord {
      piece.remark = Self.kept(line.isUnterminated ? "has no line end (torn?)" : "holds no JSON object", "as it is")
      // The file may hold nothing but the byte order mark.
      if piece.bytes.isEmpty, piece.isUnterminated { return }
    }
    batch.append(piece)
    bytes += piece.bytes.count
    if batch.count >= Self.batchEvents || bytes >= Self.batchBytes { try await finish() }
  }

  /// Returns when everything that was added is on disk.
  mutating func finish() async throws {
    guard !batch.isEmpty else { return }
    let pieces = batch
    batch.removeAll(keepingCapacity: true)
    bytes = 0
    try await send(pieces[...])
  }

  /// Sends pieces. If an append is refused, sends it in parts, so that everything is stored in order.
  private mutating func send(_ pieces: ArraySlice<Piece>) async throws {
    guard let first = pieces.first else { return }
    do throws(ClientError) {
      _ = try await client.append(pieces.map(\.event), producerSequence: next)
    } catch {
      guard error.isAboutEvents, pieces.count > 1 || replacement(of: first, error) != nil else {
        throw CommandFailure(error.exitStatus, "\(file): stopped before line \(first.line): \(error.message)")
      }
      if pieces.count > 1 {
        let half = pieces.count / 2
        try await send(pieces.prefix(half))
        return try await send(pieces.dropFirst(half))
      }
      for other in replacement(of: first, error)! { try await send([other]) }
      return
    }
    next += UInt64(pieces.count)
    for piece in pieces {
      guard let remark = piece.remark, reported != piece.line else { continue }
      reported = piece.line
      if piece.isRecord { skipped += 1 } else { unreadable += 1 }
      StandardError.write("hubaudit: \(file): line \(piece.line) (byte \(piece.offset)) \(remark)\n")
    }
  }

  /// The replacement of a refused piece; `nil` if there is none.
  private func replacement(of piece: Piece, _ error: ClientError) -> [Piece]? {
    let isTooLarge = error.refusal?.code == .recordTooLarge || error.refusal?.code == .limitExceeded
    if isTooLarge, skipsTooLarge, piece.isWhole {
      var other = piece
      (other.bytes, other.isRecord, other.isWhole) = (SkippedLine.json(piece.bytes), true, false)
      other.remark = "is too large and was passed over; its SHA-256 is kept"
      return [other]
    }
    if piece.isRecord {
      var other = piece
      other.isRecord = false
      other.remark = Self.kept("is no record that the log takes (\(error.message))", "as it is")
      return [other]
    }
    guard isTooLarge, piece.bytes.count > 1 else { return nil }
    var (first, second) = (piece, piece)
    let half = piece.bytes.count / 2
    first.bytes = Array(piece.bytes[..<half])
    first.isUnterminated = true
    first.remark = Self.kept("is larger than a record may be", "in parts")
    second.remark = first.remark
    second.bytes = Array(piece.bytes[half...])
    second.offset += UInt64(half)
    (first.isWhole, second.isWhole) = (false, false)
    return [first, second]
  }

  private static func kept(_ what: String, _ how: String) -> String { "\(what); kept \(how), as \"unreadable_line\"" }
}
