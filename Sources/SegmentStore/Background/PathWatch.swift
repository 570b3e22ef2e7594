import AuditLog

/// Checks at intervals that the paths of a store still lead to its open files.
///
/// A directory that was removed, or has another mounted over it, accepts writes and syncs as before. Only its path shows that nobody will
/// find them.
///
/// `@unchecked Sendable`: only because of `store`, which outlives the thread.
final class PathWatch: @unchecked Sendable {
  /// The store's `deinit` stops the thread and waits for it. `unowned(unsafe)`: the thread may still use the store during that `deinit`, where
  /// a checked reference traps.
  private unowned(unsafe) let store: SegmentStore
  private let interval: Duration
  private let thread = BackgroundThread(name: "hubaudit-place")

  init(store: SegmentStore, interval: Duration) {
    self.store = store
    self.interval = interval
  }

  func start() {
    thread.start { [self] in
      // The first failure is final: it is logged and appending has ended.
      while thread.rest(interval) { do throws(StoreError) { try store.confirmPaths() } catch { return } }
    }
  }

  /// Ends the thread and waits for it.
  func stop() { thread.stop() }
}
