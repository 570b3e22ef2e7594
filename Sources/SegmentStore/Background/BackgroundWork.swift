import AuditLog
import Synchronization

/// What a store does on threads of its own: the scrub, the making of search indexes, and the look at its place on disk.
final class BackgroundWork: Sendable {
  private struct Threads {
    var scrub: Scrub?
    var indexer: SearchIndexer?
    var watch: PlaceWatch?
  }

  private let threads = Mutex(Threads())

  /// Begins what the settings ask for. `stop` has to be called before the store goes.
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
    if configuration.placeCheckInterval > .zero { new.watch = PlaceWatch(store: store, interval: configuration.placeCheckInterval) }
    threads.withLock { $0 = new }
    new.scrub?.start()
    new.indexer?.start()
    new.watch?.start()
  }

  /// Ends the threads and waits for their end.
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
