import AuditLog
import AuditSchema
import Logging
import Synchronization

/// Makes the search indexes of sealed segments in the background, at a bounded rate: of those that have none when the server starts, of each
/// one that is sealed, and of those whose index a search or an erasure found wanting. And that of the newest segment, in memory, where
/// somebody searches it: appending costs nothing for it.
package final class SearchIndexer: @unchecked Sendable {
  package enum Interruption: Error { case stopped }

  /// The newest segment's index is given to searches after so many bytes of it.
  private static let publishedBytes: UInt64 = 8 << 20
  /// What looking for an index counts as.
  private static let checkBytes: UInt64 = 64 << 10

  private struct Work {
    /// Segments before this one, counted from the oldest, were looked at.
    var next = 0
    /// Others that need an index, by their first sequences.
    var wanted: Set<UInt64> = []
    /// Those that none could be made of: not tried again before another one is sealed.
    var failed: Set<UInt64> = []
    /// Much of the newest segment was read by a search, since it is in no index.
    var wantsNewest = false
  }

  /// Outlives this object: its end waits for `stop`.
  private unowned(unsafe) let store: SegmentStore
  private let bytesPerSecond: UInt64
  private let logger: Logger
  private let work = Mutex(Work())
  private let thread = BackgroundThread(name: "hubaudit-search")
  /// Of the thread alone.
  private var newest: NewestSearchIndexer?

  package init(store: SegmentStore, bytesPerSecond: UInt64, logger: Logger) {
    self.store = store
    self.bytesPerSecond = bytesPerSecond
    self.logger = logger
  }

  func start() {
    thread.start { [self] in
      repeat {
        do { try round() } catch { return }
      } while thread.sleep()
    }
  }

  /// Ends the thread and waits for its end.
  func stop() { thread.stop() }

  /// A segment was sealed.
  func wake() {
    work.withLock { $0.failed.removeAll() }
    thread.wake()
  }

  /// The index of a segment is missing or was removed. One that is not looked at yet will be.
  func want(_ firstSequence: UInt64) {
    let isNew = work.withLock { work in
      guard work.next > 0, let row = store.sealedSegment(work.next - 1)?.row, firstSequence <= row.firstSequence else { return false }
      return !work.failed.contains(firstSequence) && work.wanted.insert(firstSequence).inserted
    }
    if isNew { thread.wake() }
  }

  /// The newest segment is searched, and much of it is in no index.
  package func wantNewest() {
    let isNew = work.withLock { work in
      defer { work.wantsNewest = true }
      return !work.wantsNewest
    }
    if isNew { thread.wake() }
  }

  /// Makes what is missing now.
  package func round() throws(Interruption) {
    let began = ContinuousClock.now
    var checks: UInt64 = 0
    if work.withLock({ $0.wantsNewest }) {
      try extendNewest()
      work.withLock { $0.wantsNewest = false }
    }
    while true {
      if let first = work.withLock({ $0.wanted.popFirst() }) {
        try ensureIndex(first)
      } else {
        let next = work.withLock { $0.next }
        guard let (row, _) = store.sealedSegment(next) else { return }
        try ensureIndex(row.firstSequence)
        work.withLock { $0.next = next + 1 }
      }
      // Those that are there cost something too.
      checks += 1
      guard thread.keepTo(bytesPerSecond, checks * Self.checkBytes, since: began) else { throw .stopped }
    }
  }

  /// Takes into the newest segment's index what has come since.
  private func extendNewest() throws(Interruption) {
    let began = ContinuousClock.now
    var (read, published) = (UInt64(0), UInt64(0))
    do {
      guard let place = try store.newestPlace() else { return }
      if newest?.index.firstSequence != place.firstSequence { newest = nil }
      while true {
        let erasures = store.erasures.withLock { $0.count }
        if newest?.erasures != erasures { newest = NewestSearchIndexer(place.firstSequence, erasures: erasures, store.configuration) }
        let bytes = try newest!.step(store, before: place.nextSequence)
        read += UInt64(bytes)
        // Each time it is copied: not for every block.
        if bytes == 0 || read - published >= Self.publishedBytes {
          published = read
          guard store.publish(newest!.index, erasures: newest!.erasures) else { continue }
        }
        if bytes == 0 { return }
        guard thread.keepTo(bytesPerSecond, read, since: began) else { throw Interruption.stopped }
      }
    } catch let error as Interruption { throw error } catch {
      // Damage, or the store is closing: what is before it is enough, the rest is read.
      if let index = newest?.index, let erasures = newest?.erasures { _ = store.publish(index, erasures: erasures) }
    }
  }

  private func ensureIndex(_ firstSequence: UInt64) throws(Interruption) {
    do {
      guard try store.searchIndex(ofSealed: firstSequence) == nil else { return }
      while let build = try store.beginSearchIndex(ofSealed: firstSequence) {
        do {
          do { try make(build) } catch {
            try? store.directory.fileSystem.remove(build.path)
            throw error
          }
          if try store.finishSearchIndex(build) { break }
        } catch let error as StoreError {
          // A record that is being erased looks damaged until that is done.
          guard store.erasures.withLock({ $0.count }) != build.erasures else { throw error }
        }
      }
      logger.debug("a segment's search index was made", metadata: ["segment": "\(firstSequence)"])
    } catch let error as StoreError where error.code != .closed {
      work.withLock { _ = $0.failed.insert(firstSequence) }
      logger.notice(
        "a segment's search index could not be made; searches read the segment",
        metadata: ["segment": "\(firstSequence)", "reason": "\(error)"])
    } catch { throw .stopped }
  }

  /// Reads the segment and writes its index.
  private func make(_ build: SearchIndexBuild) throws {
    let segment = build.segment
    let writer = try SearchIndexWriter(build, store.directory.fileSystem, store.configuration)
    var failure: FileSystemError?
    var walk = SegmentWalk(
      segment.file, header: segment.header, headerEnd: segment.headerEnd, end: build.bytes, indexSpacingBytes: 1 << 20
    ) { record, framing, offset in
      guard failure == nil else { return }
      do throws(FileSystemError) { try writer.add(record, framing, at: offset) } catch { failure = error }
    }
    let began = ContinuousClock.now
    walking: while true {
      switch try reading({ () throws(FileSystemError) in try walk.next() }) {
      case .end: break walking
      case .invalid(let reason, _): throw StoreError.damaged(segment.path, offset: walk.offset, reason)
      case .commit: break
      }
      if let failure { throw SearchIndexWriter.failed(failure) }
      guard thread.keepTo(bytesPerSecond, walk.offset, since: began) else { throw Interruption.stopped }
    }
    guard walk.nextSequence == build.nextSequence else {
      throw StoreError.damaged(segment.path, offset: walk.offset, "its last record is not the one before \(build.nextSequence)")
    }
    try writer.finish()
  }
}
