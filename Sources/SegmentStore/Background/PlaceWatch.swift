import AuditLog

/// Looks now and then whether a store's paths still lead to what it has open.
///
/// A directory that was removed, or has another mounted over it, takes writes and syncs as before: only its path tells that nobody will find
/// them again.
final class PlaceWatch: @unchecked Sendable {
  /// Outlives this object: its end waits for `stop`.
  private unowned(unsafe) let store: SegmentStore
  private let interval: Duration
  private let thread = BackgroundThread(name: "hubaudit-place")

  init(store: SegmentStore, interval: Duration) {
    self.store = store
    self.interval = interval
  }

  func start() {
    thread.start { [self] in
      // The first failure is the last: it is told, and nothing is appended any more.
      while thread.rest(interval) { do throws(StoreError) { try store.confirmPlace() } catch { return } }
    }
  }

  /// Ends the thread and waits for its end.
  func stop() { thread.stop() }
}
