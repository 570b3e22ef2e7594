import AuditLog
import AuditSchema

/// What a look at a data directory finds: read-only, without the lock, so that a copy or the directory of a running server will do.
package struct LogInspection: Sendable {
  package struct Segment: Sendable {
    package var path: String
    package var firstSequence: UInt64
    package var records: UInt64
    package var commits: UInt64
    /// Size of the file.
    package var bytes: UInt64
    /// `received_at` of the first and last record, Unix ns.
    package var firstReceivedAt: UInt64?
    package var lastReceivedAt: UInt64?
    /// Bytes behind the last whole commit that are not zeros.
    package var looseBytes: UInt64 = 0
  }

  /// Something that is not as it should be.
  package struct Problem: Sendable {
    package var path: String
    package var offset: UInt64?
    package var sentence: String
  }

  package var logID: [UInt8] = []
  package var segments: [Segment] = []
  package var problems: [Problem] = []

  /// Looks at every byte of every segment.
  ///
  /// - Parameter progress: told of each segment before it is read.
  /// - Throws: `.unusable` when there is no log in the directory, `.damaged` when `log.json` is not what was written.
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
    for (index, first) in firstSequences.enumerated() {
      progress(directory.segment(first))
      if first != expected {
        problems.append(
          Problem(path: directory.segment(first), sentence: "it begins with record \(first); records \(expected) to \(first) are missing"))
      }
      let isNewest = index == firstSequences.count - 1
      do throws(StoreError) {
        let file = try reading { () throws(FileSystemError) in try fileSystem.open(directory.segment(first), .read) }
        let segment = try OpenSegment(file: file, path: directory.segment(first), firstSequence: first, logID: logID)
        if segment.header.previousReceivedAt != expectedTime {
          problems.append(
            Problem(path: segment.path, offset: 0, sentence: "its header names another last time than the segment before it has"))
        }
        if segment.header.previousBytes != previousBytes {
          problems.append(
            Problem(
              path: segment.path, offset: 0,
              sentence: "its header says that the segment before it has \(segment.header.previousBytes) bytes; it has \(previousBytes)"))
        }
        (expected, expectedTime, previousBytes) = try look(at: segment, isNewest: isNewest)
      } catch {
        problems.append(Problem(path: error.path ?? directory.segment(first), offset: error.offset, sentence: error.message))
        expected = isNewest ? first : firstSequences[index + 1]
      }
    }
  }

  private mutating func look(
    at segment: OpenSegment, isNewest: Bool
  ) throws(StoreError) -> (next: UInt64, receivedAt: UInt64, bytes: UInt64) {
    let bytes = try reading { () throws(FileSystemError) in try segment.file.size() }
    var found = Segment(path: segment.path, firstSequence: segment.header.firstSequence, records: 0, commits: 0, bytes: bytes)
    var walk = SegmentWalk(
      segment.file, header: segment.header, headerEnd: segment.headerEnd, end: bytes, indexSpacingBytes: 1 << 20)
    walking: while true {
      switch try reading({ () throws(FileSystemError) in try walk.next() }) {
      case .commit(let mark):
        found.records += UInt64(mark.count)
        found.commits += 1
        found.firstReceivedAt = found.firstReceivedAt ?? mark.receivedAt
        found.lastReceivedAt = mark.receivedAt
      case .invalid(let reason, _):
        let end = walk.offset
        let last = try reading { () throws(FileSystemError) in try segment.file.lastNonZero(from: end, to: bytes) }
        if let last {
          found.looseBytes = last + 1 - end
          let newest = isNewest ? "; a start of the server decides whether it is a torn end" : ""
          problems.append(Problem(path: segment.path, offset: end, sentence: reason + newest))
        } else if !isNewest {
          problems.append(Problem(path: segment.path, offset: end, sentence: "zeros stand behind the last commit of a sealed segment"))
        }
        break walking
      case .end: break walking
      }
    }
    segments.append(found)
    return (walk.nextSequence, walk.lastReceivedAt, bytes)
  }
}
