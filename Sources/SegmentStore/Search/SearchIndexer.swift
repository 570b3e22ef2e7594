import AuditLog
import AuditSchema
import Logging
import Synchronization

/// Builds the search indexes of sealed segments in the background, at a bounded rate: missing ones at the start, one for each segment that
/// is sealed, and those that a search or an erasure removed. Once the newest segment is searched, also its index in memory. Appends do no
/// indexing work.
package final class SearchIndexer: Sendable {
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

  private weak let store: SegmentStore?
  private let bytesPerSecond: UInt64
  private let logger: Logger
  private let work = Mutex(Work())
  private let thread = BackgroundThread(name: "hubaudit-search")
  /// Locked for a whole round: there is one at a time.
  private let newest = Mutex<NewestSearchIndexer?>(nil)

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

  /// See `BackgroundThread.stop`.
  func stop() { thread.stop() }

  /// Tells the indexer that a segment was sealed.
  func wake() {
    work.withLock { $0.failed.removeAll() }
    thread.wake()
  }

  /// Asks for the index of a segment where it is missing or was removed. Ignored for a segment that the indexer has not reached yet.
  func request(_ firstSequence: UInt64) {
    guard let store else { return }
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

  /// The store, for one use. Whoever rests holds none: it would keep the store from being freed.
  private func held() throws(Interruption) -> SegmentStore {
    guard let store else { throw .stopped }
    return store
  }

  /// Builds all indexes that are missing now.
  package func round() throws(Interruption) {
    let began = ContinuousClock.now
    var checks: UInt64 = 0
    if work.withLock({ $0.wantsNewest }) {
      try newest.withLock { (newest) throws(Interruption) in try extend(&newest) }
      work.withLock { $0.wantsNewest = false }
    }
    while try ensureNextIndex() {
      // A check costs reads too, even when the index exists.
      checks += 1
      guard thread.keepTo(bytesPerSecond, checks * Self.checkBytes, since: began) else { throw .stopped }
    }
  }

  /// Adds the latest records to the index of the newest segment.
  private func extend(_ newest: inout NewestSearchIndexer?) throws(Interruption) {
    let began = ContinuousClock.now
    var (read, published) = (UInt64(0), UInt64(0))
    do {
      guard let extent = try held().newestExtent() else { return }
      if newest?.index.firstSequence != extent.firstSequence { newest = nil }
      while true {
        let erasures = try held().erasures.withLock { $0.count }
        if newest?.erasures != erasures {
          newest = NewestSearchIndexer(extent.firstSequence, erasures: erasures, try held().configuration)
        }
        let bytes = try newest!.step(held(), before: extent.nextSequence)
        read += UInt64(bytes)
        // Publishing copies the index, so not for every block.
        if bytes == 0 || read - published >= Self.publishedBytes {
          published = read
          guard try held().publish(newest!.index, erasures: newest!.erasures) else { continue }
        }
        if bytes == 0 { return }
        guard thread.keepTo(bytesPerSecond, read, since: began) else { throw Interruption.stopped }
      }
    } catch let error as Interruption { throw error } catch {
      // Damage, or the store is closing. Keep the index of the records before it; searches read the rest.
      if let index = newest?.index, let erasures = newest?.erasures { _ = store?.publish(index, erasures: erasures) }
    }
  }

  /// Looks at a segment that was asked for, or else at the next one, and builds its index if that is missing. Returns whether there was one.
  private func ensureNextIndex() throws(Interruption) -> Bool {
    if let first = work.withLock({ $0.requested.popFirst() }) {
      try ensureIndex(first)
      return true
    }
    let next = work.withLock { $0.next }
    guard let (row, _) = try held().sealedSegment(next) else { return false }
    try ensureIndex(row.firstSequence)
    work.withLock { $0.next = next + 1 }
    return true
  }

  private func ensureIndex(_ firstSequence: UInt64) throws(Interruption) {
    do {
      guard try held().searchIndex(ofSealed: firstSequence) == nil else { return }
      let (fileSystem, configuration) = try (held().directory.fileSystem, held().configuration)
      while let build = try held().beginSearchIndex(ofSealed: firstSequence) {
        do {
          do {
            try make(build, fileSystem, configuration)
            if try held().finishSearchIndex(build) { break }
          } catch {
            try? fileSystem.remove(build.path)
            throw error
          }
        } catch let error as StoreError {
          // A record looks damaged while it is being erased: build again.
          guard try held().erasures.withLock({ $0.count }) != build.erasures else { throw error }
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

  private func make(_ build: SearchIndexBuild, _ fileSystem: any FileSystem, _ configuration: SegmentStoreConfiguration) throws {
    let segment = build.segment
    let writer = try SearchIndexWriter(build, fileSystem, configuration)
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
