import AuditLog
import Synchronization

/// The background threads of a store: scrub, search indexer and path check.
final class BackgroundWork: Sendable {
  private struct Threads {
    var scrub: Scrub?
    var indexer: SearchIndexer?
    var watch: PathWatch?
  }

  private let threads = Mutex(Threads())

  /// Starts the threads that the configuration asks for. They hold the store only while they work, so that it is freed when nobody else
  /// has it; its `deinit` ends them.
  func start(for store: SegmentStore) {
    let configuration = store.configuration
    var new = Threads()
    if configuration.scrubBytesPerSecond > 0 {
      new.scrub = Scrub(
        store: store, bytesPerSecond: configuration.scrubBytesPerSecond, pause: configuration.scrubPause, logger: store.logger)
    }
    if configuration.searchIndexBytesPerSecond > 0 {
      new.indexer = SearchIndexer(store: store, bytesPerSecond: configuration.searchIndexBytesPerSecond, logger: store.logger)
    }
    if configuration.placeCheckInterval > .zero { new.watch = PathWatch(store: store, interval: configuration.placeCheckInterval) }
    threads.withLock { $0 = new }
    new.scrub?.start()
    new.indexer?.start()
    new.watch?.start()
  }

  /// Ends the threads and waits for them.
  func stop() {
    let old = threads.withLock { threads in
      defer { threads = Threads() }
      return threads
    }
    old.scrub?.stop()
    old.indexer?.stop()
    old.watch?.stop()
  }

  var scrubStatus: ScrubStatus { threads.withLock { $0.scrub }?.status ?? ScrubStatus() }
  var indexer: SearchIndexer? { threads.withLock { $0.indexer } }
}
