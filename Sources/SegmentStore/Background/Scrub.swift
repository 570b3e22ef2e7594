import AuditLog
import AuditSchema
import Logging
import MerkleTree
import Synchronization

/// Verifies sealed segments in the background, at a bounded rate, so that damage is found while good copies still exist.
///
/// A segment is good when every commit header and record is intact, it follows the segment before it without a gap, and its records match
/// the tree in the next segment's header. Nothing is repaired.
package final class Scrub: Sendable {
  package enum Interruption: Error { case stopped }

  private static let maxFindings = 16

  private weak let store: SegmentStore?
  private let bytesPerSecond: UInt64
  private let pause: Duration
  private let logger: Logger
  private let state = Mutex(ScrubStatus())
  /// Findings of the current and the previous round, by first sequence of the segment; `.max` is the checkpoints.
  private let findings = Mutex<[UInt64: String]>([:])
  private let thread = BackgroundThread(name: "hubaudit-scrub")

  package init(store: SegmentStore, bytesPerSecond: UInt64, pause: Duration, logger: Logger) {
    self.store = store
    self.bytesPerSecond = bytesPerSecond
    self.pause = pause
    self.logger = logger
  }

  package var status: ScrubStatus {
    var status = state.withLock { $0 }
    status.findings = findings.withLock { $0.sorted { $0.key < $1.key }.prefix(Self.maxFindings).map(\.value) }
    return status
  }

  func start() { thread.start { [self] in run() } }

  /// See `BackgroundThread.stop`.
  func stop() { thread.stop() }

  /// The store, for one use. Whoever rests holds none: it would keep the store from being freed.
  private func held() throws(Interruption) -> SegmentStore {
    guard let store else { throw .stopped }
    return store
  }

  private func run() {
    while true {
      do { try round() } catch { return }
      guard thread.rest(pause) else { return }
    }
  }

  /// Verifies every segment that is sealed when its turn comes, then the checkpoints.
  package func round() throws(Interruption) {
    var index = 0
    while try verifySegment(index) { index += 1 }
    try verifyCheckpoints()
    state.withLock { state in
      state.rounds += 1
      state.roundEndedAt = UTCTime.now()
    }
  }

  /// Verifies sealed segment `index`, counted from the oldest. Returns whether there is one.
  private func verifySegment(_ index: Int) throws(Interruption) -> Bool {
    guard let (row, next) = try held().sealedSegment(index) else { return false }
    do {
      var erased = try held().erasures.withLock { $0.count }
      while true {
        do {
          try verify(row, next: next)
          break
        } catch let error as StoreError {
          // A record looks damaged while it is being erased: verify again.
          let count = try held().erasures.withLock { $0.count }
          guard count != erased else { throw error }
          erased = count
        }
      }
      update(row.firstSequence, nil)
    } catch let error as StoreError where error.code != .closed {
      update(row.firstSequence, error.message)
    } catch { throw .stopped }
    return true
  }

  private func verifyCheckpoints() throws(Interruption) {
    let store = try held()
    do throws(StoreError) {
      var history = try CheckpointHistory(path: store.checkpointPath, fileSystem: store.directory.fileSystem)
      while try history.next() != nil {}
      update(.max, nil)
    } catch { update(.max, error.message) }
  }

  /// Stores the finding for a key of `findings` (`nil`: none) and logs a change.
  private func update(_ key: UInt64, _ finding: String?) {
    let before = findings.withLock { findings in
      defer { findings[key] = finding }
      return findings[key]
    }
    guard before != finding else { return }
    if let finding {
      logger.error("the scrub found damage", metadata: ["reason": "\(finding)"])
    } else {
      logger.notice("scrub: a damaged file verifies again", metadata: ["was": "\(before ?? "")"])
    }
  }

  private func verify(_ row: SegmentTable.Row, next: UInt64) throws {
    let directory = try held().directory
    // Open the file anew and drop it from the page cache: the scrub must read the disk.
    let path = directory.segment(row.firstSequence)
    let file = try reading { () throws(FileSystemError) in try directory.fileSystem.open(path, .read) }
    file.forgetCache()
    let segment = try OpenSegment(file: file, path: path, firstSequence: row.firstSequence, logID: try held().identity.logID)
    var tree = try segment.header.treeBefore()
    var leaves: [TreeHash] = []
    var changed: (sequence: UInt64, offset: UInt64)?
    let bytes = try reading { () throws(FileSystemError) in try file.size() }
    guard bytes == row.bytes else {
      throw StoreError.damaged(path, offset: bytes, "the file has \(bytes) bytes, but \(row.bytes) were stored")
    }
    let search = (try? held().searchIndex(ofSealed: row.firstSequence)).map { SearchIndexCheck($0) }
    var walk = SegmentWalk(
      file, header: segment.header, headerEnd: segment.headerEnd, end: bytes, indexSpacingBytes: 1 << 20
    ) { record, framing, offset in
      search?.add(record, framing)
      leaves.append(.leaf(UnsafeRawBufferPointer(rebasing: record[framing.header])))
      if changed == nil, !framing.hasItsBody(in: record) { changed = (framing.sequence, offset) }
    }
    let began = ContinuousClock.now
    walking: while true {
      let before = walk.offset
      let step = try reading { () throws(FileSystemError) in try walk.next() }
      switch step {
      case .end: break walking
      case .invalid(let reason, _): throw StoreError.damaged(path, offset: walk.offset, reason)
      case .commit(let commitHeader):
        if let changed {
          throw StoreError.damaged(
            path, offset: changed.offset,
            "the body of record \(changed.sequence) does not match the hash in its header: it was changed")
        }
        for leaf in leaves { tree.append(leaf) }
        leaves.removeAll(keepingCapacity: true)
        state.withLock { state in
          state.records += UInt64(commitHeader.count)
          state.bytes += walk.offset - before
        }
        guard thread.keepTo(bytesPerSecond, walk.offset, since: began) else { throw Interruption.stopped }
      }
    }
    guard walk.nextSequence == next else {
      throw StoreError.damaged(path, offset: bytes, "it ends before record \(walk.nextSequence), but the next segment begins with \(next)")
    }
    let header = try held().segment(next).header
    guard header.previousBytes == bytes, header.previousReceivedAt == walk.lastReceivedAt,
      header.beginsStretch || header.stretch == segment.header.stretch, try header.treeBefore() == tree
    else {
      throw StoreError(
        .tampered,
        "\(path) does not match the tree in the next segment's header: it was changed together with its checksums; "
          + "run `hubaudit verify`, and restore the file from a copy", path: path)
    }
    if let finding = search?.finding {
      logger.error(
        "a search index was forged", metadata: ["path": "\(directory.searchIndex(row.firstSequence))", "reason": "\(finding)"])
      try held().discardSearchIndex(row.firstSequence, reason: finding)
    }
  }
}

extension SegmentHeader {
  /// The tree over all records before this segment.
  func treeBefore() throws(StoreError) -> CompactRange {
    let hashes = stride(from: 0, to: tree.count, by: TreeHash.byteCount).map { TreeHash(tree[$0..<$0 + TreeHash.byteCount])! }
    do throws(EvidenceError) { return try CompactRange(size: firstSequence, hashes: hashes) } catch {
      throw StoreError(.damaged, "the header of segment \(firstSequence) holds no valid tree of its size (\(error))")
    }
  }
}
