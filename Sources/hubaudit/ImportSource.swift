import AuditSchema
import Foundation

/// The lines of a file that earlier imports have not stored. Stored records are compared with the file byte by byte; a line may be stored in parts.
final class ImportSource {
  struct Line {
    /// Bytes to store, without a line end.
    var bytes: [UInt8]
    /// Line number, from 1.
    var number: UInt64
    /// Offset of its first byte in the file.
    var offset: UInt64
    var isUnterminated: Bool
    /// Whether an earlier part of the line is stored.
    var isRest: Bool
  }

  /// The UTF-8 byte order mark, which some editors write; it belongs to no record.
  static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

  private let reader: LineReader
  private let renderer = RecordRenderer()
  /// Number of lines begun.
  private(set) var lines: UInt64 = 0
  private var line: LineReader.Line?
  /// Bytes of the line that are stored or returned, its line end included.
  private var used = 0

  init(_ reader: LineReader) { self.reader = reader }

  /// Whether only a part of the line is stored.
  var isWithinLine: Bool { line.map { used < $0.bytes.count + ($0.isUnterminated ? 0 : 1) } ?? false }

  /// The next line, or the rest of one; `nil` at the end.
  func next() throws -> Line? {
    if !isWithinLine, try !advance() { return nil }
    guard let line else { return nil }
    defer { used = line.bytes.count + 1 }
    return Line(
      bytes: Array(line.bytes[used...]), number: lines, offset: line.offset + UInt64(used), isUnterminated: line.isUnterminated,
      isRest: used > 0)
  }

  /// Skips the content of a stored record.
  ///
  /// - Returns: whether the file has the same bytes at this place.
  func take(_ record: Record) throws -> Bool {
    if record.isErased {
      // An erased record cannot be compared. It was a line, or the rest of one.
      return try next() != nil
    }
    if let (bytes, unterminated) = try renderer.unreadableLine(of: record) { return try take(bytes, hasEnd: !unterminated) }
    guard let json = try renderer.json(of: record) else { return false }
    guard record.kind == SkippedLine.kind, try isWithinLine || advance(), used == 0, let line, line.bytes != json else {
      return try take(json, hasEnd: true)
    }
    used = line.bytes.count + 1
    return SkippedLine.json(line.bytes) == json
  }

  private func take(_ bytes: [UInt8], hasEnd: Bool) throws -> Bool {
    if !isWithinLine, try !advance() { return false }
    guard let line, line.bytes.count - used >= bytes.count, line.bytes[used..<used + bytes.count].elementsEqual(bytes) else { return false }
    used += bytes.count
    guard hasEnd else { return true }
    guard used == line.bytes.count, !line.isUnterminated else { return false }
    used += 1
    return true
  }

  /// - Returns: whether there is another line.
  private func advance() throws -> Bool {
    guard let next = try reader.next() else { return false }
    line = next
    used = 0
    lines += 1
    return true
  }
}

/// The record in place of a skipped line.
enum SkippedLine {
  static let kind = "skipped_line"

  static func json(_ line: [UInt8]) -> [UInt8] {
    var object = ObjectWriter()
    object.token("bytes", "\(line.count)")
    object.literal("kind", kind)
    object.hex("sha256", SHA256.hash(line))
    return object.finished()
  }
}
