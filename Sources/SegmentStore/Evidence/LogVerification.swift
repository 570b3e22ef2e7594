import AuditLog
import AuditSchema
import MerkleTree

/// A look at every byte of a log that nobody vouches for: a data directory, also that of a running server, a copy, or a folder of segments.
/// Read-only, without the lock.
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
  /// What is not evidence of anything, but worth a word.
  package private(set) var notices: [String] = []

  private let fileSystem: any FileSystem
  private let hasKeys: Bool
  /// Of a data directory, where search indexes are.
  private var indexes: DataDirectory?
  /// Whether there are records that could not be read.
  private var isIncomplete = false
  /// Whether the segment before was read in part only, so that the next one does not fit to it.
  private var previousWasCut = false
  /// Checkpoints to meet on the way, ascending by size: those that were brought, then those that are stored.
  private var brought: [(checkpoint: SignedCheckpoint, place: String)]
  private var stored: CheckpointHistory?
  /// Checkpoints that end among missing records.
  private var unmet = 0
  private var nextStored: (checkpoint: SignedCheckpoint, place: String)?
  private var lastStoredSize: UInt64 = 0
  /// Of the segment before.
  private var stretch: UInt64 = 0
  /// The stored checkpoint with the most records.
  package private(set) var newest: SignedCheckpoint?

  /// - Parameters:
  ///   - path: the directory.
  ///   - checkpoints: where the signed checkpoints are; `nil`: `checkpoints` in the directory, if it is there.
  ///   - keys: the log's verifier keys; none: signatures are not checked.
  ///   - policy: whose quorum has to have cosigned.
  ///   - brought: checkpoints that the caller has kept, with what to call them.
  ///   - progress: told now and then.
  /// - Throws: `.unusable` when there is no log to look at, `.damaged` when `log.json` is not what was written.
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
      for rest in stored!.rests {
        notices.append(
          "\(rest.file) at offset \(rest.offset): \(rest.bytes) bytes are no whole checkpoint: one that is being written, a write that a crash cut "
            + "short, or damage to the last one; whoever has kept a later checkpoint can tell (--since)")
      }
    }
    audit.logID = logID
    takeStored()
    try verify(folder, progress: progress)
    finish()
  }

  /// A directory that is there and may not be read is not one that is missing.
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
    meet()
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
      // What was found there says it all.
    } else if first != audit.tree.size {
      audit.report(path, DataDirectory.gap(from: audit.tree.size, to: first))
    } else if before != audit.tree {
      audit.report(path, "its header was made for other records than those before it: a record was changed, added, removed or moved")
    }
    if follows, first == audit.tree.size, previous.bytes != .max,
      header.previousBytes != previous.bytes || header.previousReceivedAt != previous.receivedAt
    {
      audit.report(path, "its header names another size or last time of the segment before it")
    }
    if follows, previous.bytes != .max, !header.beginsStretch, header.stretch != stretch {
      audit.report(path, "its header names another stretch of time than the segment before it")
    }
    stretch = header.stretch
    if before != audit.tree { audit.resume(at: before, receivedAt: header.previousReceivedAt) }
    let size = try reading { () throws(FileSystemError) in try file.size() }
    // Records are checked when their whole commit is there.
    final class Staged { var records: [(bytes: [UInt8], offset: UInt64)] = [] }
    let staged = Staged()
    let search = next.flatMap { searchIndex(of: segment, bytes: size, next: $0, in: folder) }.map { SearchIndexCheck($0) }
    defer {
      if let indexes, let finding = search?.finding {
        audit.report(indexes.searchIndex(first), "\(finding); delete the file, the server makes it again")
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
          meet()
        }
        progress(audit.tree.size, bytes + walk.offset)
      case .invalid(let reason, _):
        let offset = walk.offset
        let loose = try reading { () throws(FileSystemError) in try file.lastNonZero(from: offset, to: size) }
        if loose != nil {
          if isNewest, isTornEnd(of: offset) {
            notices.append("\(path) at offset \(offset): \(reason); a commit under way, or a torn end that the next start cuts")
          } else {
            audit.report("\(path) at offset \(offset)", reason)
            isIncomplete = true
            previousWasCut = true
          }
        } else if !isNewest {
          audit.report("\(path) at offset \(offset)", "zeros stand behind the last commit of a sealed segment")
        }
        bytes += offset
        return (size, walk.lastReceivedAt)
      case .end:
        bytes += walk.offset
        return (size, walk.lastReceivedAt)
      }
    }
  }

  /// The search index of a segment that is followed by another; `nil` when there is none that a server would use.
  private func searchIndex(of segment: OpenSegment, bytes: UInt64, next: UInt64, in folder: String) -> SearchIndex? {
    let path = "\(folder)/\(DataDirectory.digits(next)).seg"
    guard let indexes, let file = try? fileSystem.open(indexes.searchIndex(segment.header.firstSequence), .read),
      let following = try? OpenSegment(file: try fileSystem.open(path, .read), path: path, firstSequence: next, logID: logID)
    else { return nil }
    return try? SearchIndex(file, of: SearchIndex.Subject(segment.header, bytes: bytes, next: following.header))
  }

  /// Whether nothing that was signed lies behind the records so far.
  private func isTornEnd(of offset: UInt64) -> Bool {
    (nextStored?.checkpoint.checkpoint.size ?? 0) <= audit.tree.size && (brought.last?.checkpoint.checkpoint.size ?? 0) <= audit.tree.size
  }

  // MARK: Checkpoints

  /// Checks the checkpoints of just as many records as there are now.
  private mutating func meet() {
    while let next = nextStored, next.checkpoint.checkpoint.size <= audit.tree.size {
      meet(next.checkpoint, next.place)
      takeStored()
    }
    while let next = brought.first, next.checkpoint.checkpoint.size <= audit.tree.size {
      meet(next.checkpoint, next.place)
      brought.removeFirst()
    }
  }

  private mutating func meet(_ checkpoint: SignedCheckpoint, _ place: String) {
    // Behind a gap, the tree of so many records is not known.
    if checkpoint.checkpoint.size < audit.tree.size, audit.records < audit.tree.size {
      unmet += 1
    } else {
      audit.check(checkpoint, place: place)
    }
  }

  private mutating func takeStored() {
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
          audit.report(place, "it is stored as one of \(counted(found.size, "record")), and says another number")
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
    // What could not be read says nothing of what was signed for it.
    var unchecked = 0
    while let next = nextStored {
      if isIncomplete { unchecked += 1 } else { audit.check(next.checkpoint, place: next.place) }
      takeStored()
    }
    for next in brought {
      if isIncomplete { unchecked += 1 } else { audit.check(next.checkpoint, place: next.place) }
    }
    if unchecked > 0 {
      notices.append(
        "\(counted(unchecked, "checkpoint")) of more than \(counted(audit.tree.size, "record")) could not be checked: what they cover is not all there"
      )
    }
    if unmet > 0 { notices.append("\(counted(unmet, "checkpoint")) could not be checked: they end among records that are missing") }
    if hasKeys, audit.checkpoints == 0, unchecked == 0, unmet == 0 { audit.reportUnsigned() }
    audit.finish()
  }
}
