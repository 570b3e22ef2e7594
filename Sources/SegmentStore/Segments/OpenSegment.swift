import AuditLog
import AuditSchema

/// A segment that is open for reading. Its header has been checked.
final class OpenSegment: Sendable {
  let file: any File
  let path: String
  let header: SegmentHeader
  /// Offset of the first commit.
  let headerEnd: UInt64

  private init(file: any File, path: String, header: SegmentHeader, headerEnd: UInt64) {
    self.file = file
    self.path = path
    self.header = header
    self.headerEnd = headerEnd
  }

  /// Reads and checks the header of `file`.
  ///
  /// - Parameters:
  ///   - firstSequence: the sequence in the file's name.
  ///   - keepsState: whether to keep the sequencer's state, which may be large.
  /// - Throws: `.damaged` when the header is incomplete, or belongs to another segment or another log.
  convenience init(file: any File, path: String, firstSequence: UInt64, logID: [UInt8], keepsState: Bool = false) throws(StoreError) {
    var (header, headerEnd) = try Self.header(of: file, path: path)
    guard header.firstSequence == firstSequence else {
      throw .damaged(path, offset: 0, "the header says first sequence \(header.firstSequence), but the file's name says \(firstSequence)")
    }
    guard header.logID == logID else { throw .damaged(path, offset: 0, "the segment belongs to another log") }
    if !keepsState { header.state = [] }
    self.init(file: file, path: path, header: header, headerEnd: headerEnd)
  }

  /// The log id in the header of a segment.
  static func logID(of file: any File, path: String) throws(StoreError) -> [UInt8] { try header(of: file, path: path).header.logID }

  private static func header(of file: any File, path: String) throws(StoreError) -> (header: SegmentHeader, end: UInt64) {
    let (start, fileBytes) = try reading { () throws(FileSystemError) in
      (try file.readBytes(at: 0, count: SegmentHeader.maxBytesWithoutState), try file.size())
    }
    guard let size = start.withUnsafeBytes({ SegmentHeader.encodedBytes(startingWith: $0) }), UInt64(size) <= fileBytes else {
      throw .damaged(path, offset: 0, "the segment's header is incomplete")
    }
    let encoded =
      size <= start.count
      ? Array(start[..<size]) : try reading { () throws(FileSystemError) in try file.readBytes(at: 0, count: size) }
    guard let header = encoded.withUnsafeBytes({ SegmentHeader(encoded: $0) }) else {
      throw .damaged(path, offset: 0, "the segment's header is not intact (or of another format than \(SegmentHeader.format))")
    }
    return (header, UInt64(encoded.count))
  }
}
