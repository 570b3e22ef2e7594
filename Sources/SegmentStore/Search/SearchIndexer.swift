import AuditLog
import AuditSchema
import Logging
import Synchronization

/// Builds the search indexes of sealed segments in the background, at a bounded rate: missing ones at the start, one for each segment that
/// is sealed, and those that a search or an erasure removed. Once the newest segment is searched, also its index in memory. Appends do no
/// indexing work.
///
/// `@unchecked Sendable`: `store` outlives the thread, and `newest` is confined to it.
package final class SearchIndexer: @unchecked Sendable {
  package enum Interruption: Error { case stopped }

  /// New bytes after which the index of the newest segment is published again. Each publication copies it.
  private static let publishedBytes: UInt64 = 8 << 20
  /// Bytes that a check for an existing index counts as, for the rate limit.
  private static let checkBytes: UInt64 = 64 << 10

  private struct Work {
    /// Number of segments checked so far, from the oldest.
    var next = 0
    /// Checked segments that need an index again, by first sequence.
    var requested: Set<UInt64> = []
    /// Segments whose build failed. Retried after the next segment is sealed.
    var failed: Set<UInt64> = []
    /// A search read much of the newest segment because it is not indexed yet.
    var wantsNewest = false
  }

  /// The store's `deinit` stops the thread and waits for it. `unowned(unsafe)`: the thread may still use the store during that `deinit`, where
  /// a checked reference traps.
  private unowned(unsafe) let store: SegmentStore
  private let bytesPerSecond: UInt64
  private let logger: Logger
  private let work = Mutex(Work())
  private let thread = BackgroundThread(name: "hubaudit-search")
  /// Used only by the thread.
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

  /// Ends the thread and waits for it.
  func stop() { thread.stop() }

  /// Tells the indexer that a segment was sealed.
  func wake() {
    work.withLock { $0.failed.removeAll() }
    thread.wake()
  }

  /// Asks for the index of a segment where it is missing or was removed. Ignored for a segment that the indexer has not reached yet.
  func request(_ firstSequence: UInt64) {
    let isNew = work.withLock { work in
      guard work.next > 0, let row = store.sealedSegment(work.next - 1)?.row, firstSequence <= row.firstSequence else { return false }
      return !work.failed.contains(firstSequence) && work.requested.insert(firstSequence).inserted
    }
    if isNew { thread.wake() }
  }

  /// Asks to index the newest segment, of which a search read much.
  package func wantNewest() {
    let isNew = work.withLock { work in
      defer { work.wantsNewest = true }
      return !work.wantsNewest
    }
    if isNew { thread.wake() }
  }

  /// Builds all indexes that are missing now.
  package func round() throws(Interruption) {
    let began = ContinuousClock.now
    var checks: UInt64 = 0
    if work.withLock({ $0.wantsNewest }) {
      try extendNewest()
      work.withLock { $0.wantsNewest = false }
    }
    while true {
      if let first = work.withLock({ $0.requested.popFirst() }) {
        try ensureIndex(first)
      } else {
        let next = work.withLock { $0.next }
        guard let (row, _) = store.sealedSegment(next) else { return }
        try ensureIndex(row.firstSequence)
        work.withLock { $0.next = next + 1 }
      }
      // A check costs reads too, even when the index exists.
      checks += 1
      guard thread.keepTo(bytesPerSecond, checks * Self.checkBytes, since: began) else { throw .stopped }
    }
  }

  /// Adds the latest records to the index of the newest segment.
  private func extendNewest() throws(Interruption) {
    let began = ContinuousClock.now
    var (read, published) = (UInt64(0), UInt64(0))
    do {
      guard let extent = try store.newestExtent() else { return }
      if newest?.index.firstSequence != extent.firstSequence { newest = nil }
      while true {
        let erasures = store.erasures.withLock { $0.count }
        if newest?.erasures != erasures { newest = NewestSearchIndexer(extent.firstSequence, erasures: erasures, store.configuration) }
        let bytes = try newest!.step(store, before: extent.nextSequence)
        read += UInt64(bytes)
        // Publishing copies the index, so not for every block.
        if bytes == 0 || read - published >= Self.publishedBytes {
          published = read
          guard store.publish(newest!.index, erasures: newest!.erasures) else { continue }
        }
        if bytes == 0 { return }
        guard thread.keepTo(bytesPerSecond, read, since: began) else { throw Interruption.stopped }
      }
    } catch let error as Interruption { throw error } catch {
      // Damage, or the store is closing. Keep the index of the records before it; searches read the rest.
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
          // A record looks damaged while it is being erased: build again.
          guard store.erasures.withLock({ $0.count }) != build.erasures else { throw error }
        }
      }
      logger.debug("a segment's search index was built", metadata: ["segment": "\(firstSequence)"])
    } catch let error as StoreError where error.code != .closed {
      work.withLock { _ = $0.failed.insert(firstSequence) }
      logger.notice(
        "a segment's search index could not be built; searches read the whole segment",
        metadata: ["segment": "\(firstSequence)", "reason": "\(error)"])
    } catch { throw .stopped }
  }

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
      throw StoreError.damaged(segment.path, offset: walk.offset, "it does not end before record \(build.nextSequence)")
    }
    try writer.finish()
  }
}
