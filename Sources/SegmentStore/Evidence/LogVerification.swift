import AuditLog
import AuditSchema
import MerkleTree

/// Verifies every byte of an untrusted log: a data directory, of a running server too, a copy, or a folder of segments. Read-only and
/// without the lock.
package struct LogVerification {
  package struct Progress: Sendable {
    package var path: String
    package var records: UInt64
    package var bytes: UInt64
    package var totalBytes: UInt64
  }

  package private(set) var audit: LogAudit
  package private(set) var logID: [UInt8] = []
  package private(set) var bytes: UInt64 = 0
  package private(set) var segments = 0
  /// Findings that prove nothing wrong, but should be shown.
  package private(set) var notices: [String] = []

  private let fileSystem: any FileSystem
  private let hasKeys: Bool
  /// The data directory, for its search indexes; `nil` for a folder of segments.
  private var indexes: DataDirectory?
  /// Whether some records could not be read.
  private var isIncomplete = false
  /// Whether the previous segment was read only in part, so that the next one cannot follow it.
  private var previousWasCut = false
  /// Checkpoints that the caller brought and that are not checked yet, by ascending size.
  private var brought: [(checkpoint: SignedCheckpoint, place: String)]
  private var stored: CheckpointHistory?
  /// Number of checkpoints that could not be checked because records before them are missing.
  private var uncheckable = 0
  private var nextStored: (checkpoint: SignedCheckpoint, place: String)?
  private var lastStoredSize: UInt64 = 0
  /// Time stretch of the previous segment.
  private var stretch: UInt64 = 0
  /// The stored checkpoint of the most records.
  package private(set) var newest: SignedCheckpoint?

  /// - Parameters:
  ///   - path: the data directory, or the folder of segments.
  ///   - checkpoints: directory of the signed checkpoints; `nil`: `checkpoints` in the data directory, if present.
  ///   - keys: verifier keys of the log; if empty, signatures are not checked.
  ///   - policy: the witness quorum that must have cosigned.
  ///   - brought: checkpoints that the caller kept, each with a name for messages.
  ///   - wantedLeaves: sequences whose leaf hashes to collect.
  ///   - progress: called after each commit.
  /// - Throws: `.unusable` when there is no log at `path`, `.damaged` when `log.json` does not parse.
  package init(
    directory path: String, checkpoints: String?, keys: [VerifierKey], policy: TrustPolicy? = nil,
    brought: [(checkpoint: SignedCheckpoint, place: String)], wantedLeaves: Set<UInt64> = [],
    fileSystem: any FileSystem = PosixFileSystem(followsLinks: true), progress: (Progress) -> Void
  ) throws(StoreError) {
    self.fileSystem = fileSystem
    hasKeys = !keys.isEmpty
    audit = LogAudit(keys: keys, policy: policy, wantedLeaves: wantedLeaves)
    self.brought = brought.sorted { $0.checkpoint.checkpoint.size < $1.checkpoint.checkpoint.size }
    let directory = DataDirectory(root: path, fileSystem: fileSystem)
    let names = (try? fileSystem.list(path)) ?? []
    let isFolderOfSegments = names.contains { DataDirectory.firstSequence(ofSegment: $0) != nil }
    let folder = isFolderOfSegments ? path : directory.segments
    if !isFolderOfSegments {
      let identity: [UInt8]
      do throws(FileSystemError) { identity = try directory.read(directory.identity, limitBytes: 1 << 20) } catch {
        throw .unusable(error, "is \(path) a data directory of hubaudit, or a folder of its segments?")
      }
      logID = try LogIdentity(encoded: identity, path: directory.identity).logID
      indexes = directory
    }
    let checkpointPath = checkpoints ?? (isFolderOfSegments ? nil : directory.checkpoints)
    if let checkpointPath, checkpoints != nil || Self.isThere(checkpointPath, fileSystem) {
      stored = try CheckpointHistory(path: checkpointPath, fileSystem: fileSystem)
      for tail in stored!.incompleteTails {
        notices.append(
          "\(tail.file) at offset \(tail.offset): \(tail.bytes) bytes are not a whole checkpoint: the server is writing it, a crash interrupted its "
            + "write, or it is damaged; check against a later checkpoint that you kept (--since)")
      }
    }
    audit.logID = logID
    advanceStored()
    try verify(folder, progress: progress)
    finish()
  }

  /// An unreadable directory is not a missing one.
  private static func isThere(_ path: String, _ fileSystem: any FileSystem) -> Bool {
    do throws(FileSystemError) {
      _ = try fileSystem.list(path)
      return true
    } catch { return !error.isMissing }
  }

  private mutating func verify(_ folder: String, progress: (Progress) -> Void) throws(StoreError) {
    let names = try reading { () throws(FileSystemError) in try fileSystem.list(folder) }
    let firstSequences = names.compactMap(DataDirectory.firstSequence(ofSegment:)).sorted()
    if firstSequences.isEmpty { audit.report(folder, "there is no segment") }
    var total: UInt64 = 0
    for first in firstSequences { total += (try? fileSystem.size("\(folder)/\(DataDirectory.digits(first)).seg")) ?? 0 }
    var previous: (bytes: UInt64, receivedAt: UInt64) = (0, 0)
    checkReachedCheckpoints()
    for (index, first) in firstSequences.enumerated() {
      let path = "\(folder)/\(DataDirectory.digits(first)).seg"
      do throws(StoreError) {
        let next = index + 1 < firstSequences.count ? firstSequences[index + 1] : nil
        previous = try verify(path, first, after: previous, next: next, in: folder) { records, offset in
          progress(Progress(path: path, records: records, bytes: offset, totalBytes: total))
        }
      } catch {
        audit.report(error.offset.map { "\(path) at offset \($0)" } ?? path, error.message)
        previous = (.max, .max)
        isIncomplete = true
      }
      segments += 1
    }
  }

  private mutating func verify(
    _ path: String, _ first: UInt64, after previous: (bytes: UInt64, receivedAt: UInt64), next: UInt64?, in folder: String,
    progress: (UInt64, UInt64) -> Void
  ) throws(StoreError) -> (bytes: UInt64, receivedAt: UInt64) {
    let isNewest = next == nil
    let file = try reading { () throws(FileSystemError) in try fileSystem.open(path, .read) }
    if logID.isEmpty { logID = try OpenSegment.logID(of: file, path: path) }
    let segment = try OpenSegment(file: file, path: path, firstSequence: first, logID: logID)
    let header = segment.header
    let before = try header.treeBefore()
    let follows = !previousWasCut
    previousWasCut = false
    if !follows {
      // The problem in the previous segment was reported already.
    } else if first != audit.tree.size {
      audit.report(path, DataDirectory.gap(from: audit.tree.size, to: first))
    } else if before != audit.tree {
      audit.report(path, "the tree in its header does not match the records before it: a record was changed, added, removed or moved")
    }
    if follows, first == audit.tree.size, previous.bytes != .max,
      header.previousBytes != previous.bytes || header.previousReceivedAt != previous.receivedAt
    {
      audit.report(path, "its header does not have the size and last time of the segment before it")
    }
    if follows, previous.bytes != .max, !header.beginsStretch, header.stretch != stretch {
      audit.report(path, "its header belongs to another time stretch than the segment before it")
    }
    stretch = header.stretch
    if before != audit.tree { audit.resume(at: before, receivedAt: header.previousReceivedAt) }
    let size = try reading { () throws(FileSystemError) in try file.size() }
    // Records are added to the audit only when their whole commit is valid.
    final class Staged { var records: [(bytes: [UInt8], offset: UInt64)] = [] }
    let staged = Staged()
    let search = next.flatMap { searchIndex(of: segment, bytes: size, next: $0, in: folder) }.map { SearchIndexCheck($0) }
    defer {
      if let indexes, let finding = search?.finding {
        audit.report(indexes.searchIndex(first), "\(finding); delete the file, the server rebuilds it")
      }
    }
    var walk = SegmentWalk(file, header: header, headerEnd: segment.headerEnd, end: size, indexSpacingBytes: 1 << 20) {
      search?.add($0, $1)
      staged.records.append((Array(UnsafeRawBufferPointer(rebasing: $0[$1.contentStart...])), $2))
    }
    while true {
      staged.records.removeAll(keepingCapacity: true)
      switch try reading({ () throws(FileSystemError) in try walk.next() }) {
      case .commit:
        for record in staged.records {
          record.bytes.withUnsafeBytes { audit.add($0, place: "\(path) at offset \(record.offset)") }
          checkReachedCheckpoints()
        }
        progress(audit.tree.size, bytes + walk.offset)
      case .invalid(let reason, _):
        let offset = walk.offset
        let loose = try reading { () throws(FileSystemError) in try file.lastNonZero(from: offset, to: size) }
        if loose != nil {
          if isNewest, isTornEnd(of: offset) {
            notices.append(
              "\(path) at offset \(offset): \(reason); the server is writing a commit here, or the next start truncates a torn end")
          } else {
            audit.report("\(path) at offset \(offset)", reason)
            isIncomplete = true
            previousWasCut = true
          }
        } else if !isNewest {
          audit.report("\(path) at offset \(offset)", "zeros follow the last commit of a sealed segment")
        }
        bytes += offset
        return (size, walk.lastReceivedAt)
      case .end:
        bytes += walk.offset
        return (size, walk.lastReceivedAt)
      }
    }
  }

  /// The search index of a sealed segment; `nil` if the server would not use the file.
  private func searchIndex(of segment: OpenSegment, bytes: UInt64, next: UInt64, in folder: String) -> SearchIndex? {
    let path = "\(folder)/\(DataDirectory.digits(next)).seg"
    guard let indexes, let file = try? fileSystem.open(indexes.searchIndex(segment.header.firstSequence), .read),
      let following = try? OpenSegment(file: try fileSystem.open(path, .read), path: path, firstSequence: next, logID: logID)
    else { return nil }
    return try? SearchIndex(file, of: SearchIndex.Subject(segment.header, bytes: bytes, next: following.header))
  }

  /// Whether no checkpoint covers more records than have been read so far.
  private func isTornEnd(of offset: UInt64) -> Bool {
    (nextStored?.checkpoint.checkpoint.size ?? 0) <= audit.tree.size && (brought.last?.checkpoint.checkpoint.size ?? 0) <= audit.tree.size
  }

  // MARK: Checkpoints

  /// Checks the checkpoints whose size the audit has reached.
  private mutating func checkReachedCheckpoints() {
    while let next = nextStored, next.checkpoint.checkpoint.size <= audit.tree.size {
      check(next.checkpoint, next.place)
      advanceStored()
    }
    while let next = brought.first, next.checkpoint.checkpoint.size <= audit.tree.size {
      check(next.checkpoint, next.place)
      brought.removeFirst()
    }
  }

  private mutating func check(_ checkpoint: SignedCheckpoint, _ place: String) {
    // After a gap the tree of that size is unknown.
    if checkpoint.checkpoint.size < audit.tree.size, audit.records < audit.tree.size {
      uncheckable += 1
    } else {
      audit.check(checkpoint, place: place)
    }
  }

  private mutating func advanceStored() {
    nextStored = nil
    while stored != nil {
      do throws(StoreError) {
        guard let found = try stored!.next() else { return stored = nil }
        let place = "the checkpoint of \(UTCTime.rfc3339(found.storedAt)) in \(stored!.file)"
        let signed: SignedCheckpoint
        do throws(EvidenceError) { signed = try SignedCheckpoint(found.note) } catch {
          audit.report(place, "\(error)")
          continue
        }
        if signed.checkpoint.size != found.size {
          audit.report(place, "its file says \(counted(found.size, "record")), its note another number")
        }
        if signed.checkpoint.size < lastStoredSize { audit.report(place, "it covers fewer records than the one before it") }
        if signed.checkpoint.size >= lastStoredSize { newest = signed }
        lastStoredSize = max(lastStoredSize, signed.checkpoint.size)
        return nextStored = (signed, place)
      } catch {
        audit.report(error.path ?? "the checkpoints", error.message)
      }
    }
  }

  private mutating func finish() {
    // Missing records prove nothing about the checkpoints that cover them.
    var unchecked = 0
    while let next = nextStored {
      if isIncomplete { unchecked += 1 } else { audit.check(next.checkpoint, place: next.place) }
      advanceStored()
    }
    for next in brought {
      if isIncomplete { unchecked += 1 } else { audit.check(next.checkpoint, place: next.place) }
    }
    if unchecked > 0 {
      notices.append(
        "\(counted(unchecked, "checkpoint")) of more than \(counted(audit.tree.size, "record")) could not be checked: some of the records are missing"
      )
    }
    if uncheckable > 0 {
      notices.append("\(counted(uncheckable, "checkpoint")) could not be checked: records before their size are missing")
    }
    if hasKeys, audit.checkpoints == 0, unchecked == 0, uncheckable == 0 { audit.reportUnsigned() }
    audit.finish()
  }
}
