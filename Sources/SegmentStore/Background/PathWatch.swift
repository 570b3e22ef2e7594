import AuditLog

/// Checks at intervals that the paths of a store still lead to its open files.
///
/// A directory that was removed, or has another mounted over it, accepts writes and syncs as before. Only its path shows that nobody will
/// find them.
final class PathWatch: Sendable {
  private weak let store: SegmentStore?
  private let interval: Duration
  private let thread = BackgroundThread(name: "hubaudit-place")

  init(store: SegmentStore, interval: Duration) {
    self.store = store
    self.interval = interval
  }

  func start() {
    thread.start { [self] in
      // The first failure is final: it is logged and appending has ended.
      while thread.rest(interval), let store { do throws(StoreError) { try store.confirmPaths() } catch { return } }
    }
  }

  /// See `BackgroundThread.stop`.
  func stop() { thread.stop() }
}
