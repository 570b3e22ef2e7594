import AuditLog
import AuditSchema

/// Contents and problems of a data directory. Read-only and without the lock, so it works on a copy or beside a running server.
package struct LogInspection: Sendable {
  package struct Segment: Sendable {
    package var path: String
    package var firstSequence: UInt64
    package var records: UInt64
    package var commits: UInt64
    /// File size.
    package var bytes: UInt64
    /// `received_at` of the first and last record, Unix ns.
    package var firstReceivedAt: UInt64?
    package var lastReceivedAt: UInt64?
    /// Bytes after the last whole commit, without zeros at the end.
    package var looseBytes: UInt64 = 0
  }

  /// A problem, with the place where it was found.
  package struct Problem: Sendable {
    package var path: String
    package var offset: UInt64?
    package var sentence: String
  }

  package var logID: [UInt8] = []
  package var segments: [Segment] = []
  package var problems: [Problem] = []

  /// Reads every byte of every segment.
  ///
  /// - Parameter progress: called with the path of each segment before it is read.
  /// - Throws: `.unusable` when the directory holds no log, `.damaged` when `log.json` does not parse.
  package init(
    directory path: String, fileSystem: any FileSystem = PosixFileSystem(followsLinks: true), progress: (String) -> Void = { _ in }
  ) throws(StoreError) {
    let directory = DataDirectory(root: path, fileSystem: fileSystem)
    let identity: [UInt8]
    do throws(FileSystemError) {
      identity = try directory.read(directory.identity, limitBytes: 1 << 20)
    } catch {
      throw .unusable(error, "is \(path) a data directory of hubaudit?")
    }
    logID = try LogIdentity(encoded: identity, path: directory.identity).logID
    let firstSequences = try directory.listSegments().firstSequences
    var expected: UInt64 = 0
    var expectedTime: UInt64 = 0
    var previousBytes: UInt64 = 0
    var stretch: UInt64 = 0
    for (index, first) in firstSequences.enumerated() {
      progress(directory.segment(first))
      if first != expected {
        problems.append(
          Problem(path: directory.segment(first), sentence: DataDirectory.gap(from: expected, to: first)))
      }
      // Compare the header with the previous segment only if that one is present.
      let follows = first == expected
      let isNewest = index == firstSequences.count - 1
      do throws(StoreError) {
        let file = try reading { () throws(FileSystemError) in try fileSystem.open(directory.segment(first), .read) }
        let segment = try OpenSegment(file: file, path: directory.segment(first), firstSequence: first, logID: logID)
        if follows, segment.header.previousReceivedAt != expectedTime {
          problems.append(
            Problem(path: segment.path, offset: 0, sentence: "the last time in its header is not that of the segment before it"))
        }
        if follows, !segment.header.beginsStretch, segment.header.stretch != stretch {
          problems.append(
            Problem(path: segment.path, offset: 0, sentence: "its header belongs to another time stretch than the segment before it"))
        }
        stretch = segment.header.stretch
        if follows, segment.header.previousBytes != previousBytes {
          problems.append(
            Problem(
              path: segment.path, offset: 0,
              sentence: "its header says that the segment before it has \(segment.header.previousBytes) bytes; it has \(previousBytes)"))
        }
        (expected, expectedTime, previousBytes) = try inspect(segment, isNewest: isNewest)
      } catch {
        problems.append(Problem(path: error.path ?? directory.segment(first), offset: error.offset, sentence: error.message))
        expected = isNewest ? first : firstSequences[index + 1]
      }
    }
  }

  /// Passes the bytes of a segment up to its last whole commit to `body`. They are an encoded `hubaudit.v1.Segment`, even when zeros or an
  /// unfinished commit follow in the file.
  ///
  /// - Parameters:
  ///   - sequence: of a record in the segment; `nil`: the newest segment.
  ///   - body: called with the bytes in order, in parts.
  /// - Throws: `.unusable` when there is no such segment; whatever `body` throws.
  package static func wholeCommits(
    directory path: String, holding sequence: UInt64?, fileSystem: any FileSystem = PosixFileSystem(followsLinks: true),
    _ body: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    let directory = DataDirectory(root: path, fileSystem: fileSystem)
    let firstSequences = try directory.listSegments().firstSequences
    guard let first = firstSequences.last(where: { $0 <= sequence ?? .max }) else {
      throw StoreError(
        .unusable, "there is no segment in \(directory.segments) that holds record \(sequence ?? 0)", path: directory.segments)
    }
    let segmentPath = directory.segment(first)
    let file = try reading { () throws(FileSystemError) in try fileSystem.open(segmentPath, .read) }
    let logID = try OpenSegment.logID(of: file, path: segmentPath)
    let segment = try OpenSegment(file: file, path: segmentPath, firstSequence: first, logID: logID)
    let bytes = try reading { () throws(FileSystemError) in try file.size() }
    var walk = SegmentWalk(file, header: segment.header, headerEnd: segment.headerEnd, end: bytes, indexSpacingBytes: 1 << 20)
    while case .commit = try reading({ () throws(FileSystemError) in try walk.next() }) {}
    if let sequence, sequence >= walk.nextSequence {
      throw StoreError(.unusable, "\(segmentPath) ends before record \(sequence), and there is no later segment", path: segmentPath)
    }
    for start in stride(from: 0, to: walk.offset, by: 1 << 20) {
      let part = try reading { () throws(FileSystemError) in try file.readBytes(at: start, count: Int(min(1 << 20, walk.offset - start))) }
      try part.withUnsafeBytes(body)
    }
  }

  private mutating func inspect(
    _ segment: OpenSegment, isNewest: Bool
  ) throws(StoreError) -> (next: UInt64, receivedAt: UInt64, bytes: UInt64) {
    let bytes = try reading { () throws(FileSystemError) in try segment.file.size() }
    var found = Segment(path: segment.path, firstSequence: segment.header.firstSequence, records: 0, commits: 0, bytes: bytes)
    var walk = SegmentWalk(
      segment.file, header: segment.header, headerEnd: segment.headerEnd, end: bytes, indexSpacingBytes: 1 << 20)
    walking: while true {
      switch try reading({ () throws(FileSystemError) in try walk.next() }) {
      case .commit(let commitHeader):
        found.records += UInt64(commitHeader.count)
        found.commits += 1
        found.firstReceivedAt = found.firstReceivedAt ?? commitHeader.receivedAt
        found.lastReceivedAt = commitHeader.receivedAt
      case .invalid(let reason, _):
        let end = walk.offset
        let last = try reading { () throws(FileSystemError) in try segment.file.lastNonZero(from: end, to: bytes) }
        if let last {
          found.looseBytes = last + 1 - end
          let newest = isNewest ? "; the next start of the server decides whether this is a torn end" : ""
          problems.append(Problem(path: segment.path, offset: end, sentence: reason + newest))
        } else if !isNewest {
          problems.append(Problem(path: segment.path, offset: end, sentence: "zeros follow the last commit of a sealed segment"))
        }
        break walking
      case .end: break walking
      }
    }
    segments.append(found)
    return (walk.nextSequence, walk.lastReceivedAt, bytes)
  }
}
