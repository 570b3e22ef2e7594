import AuditLog
import AuditSchema
import Foundation
import Logging
import SegmentStore
import Synchronization

/// A log whose store can be looked over the shoulder.
final class WatchedLog {
  let store: WatchedStore
  let log: AuditLog
  private let directory = FileManager.default.temporaryDirectory.appending(path: "hubaudit-\(UUID().uuidString)").path

  private let logger: Logger
  private var storeConfiguration = SegmentStoreConfiguration()

  init(
    configuration: AuditLogConfiguration = AuditLogConfiguration(), segmentBytes: UInt64 = 64 << 20, now: (@Sendable () -> UInt64)? = nil
  ) throws {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    self.logger = logger
    storeConfiguration.segmentBytes = segmentBytes
    store = WatchedStore(try SegmentStore.open(directory: directory, configuration: storeConfiguration, logger: logger))
    log = try AuditLog(store: store, configuration: configuration, now: now, logger: logger)
  }

  /// Closes the log; the same one as after a restart.
  func reopened() throws -> AuditLog {
    try log.close()
    return try AuditLog(
      store: SegmentStore.open(directory: directory, configuration: storeConfiguration, logger: logger), logger: logger)
  }

  deinit {
    try? log.close()
    try? FileManager.default.removeItem(atPath: directory)
  }
}

/// A store that is asked, and may refuse, before the real one. Set up between appends only.
final class WatchedStore: RecordStore, @unchecked Sendable {
  private let inner: any RecordStore
  /// Called on the thread that stores, with the first sequence of the commit.
  var beforeAppend: (UInt64) -> Void = { _ in }
  /// Called when a commit is sealed, with its first sequence.
  var beforePrepare: (UInt64) -> Void = { _ in }
  var failure: StoreError?
  var preparationFailure: StoreError?

  init(_ inner: any RecordStore) { self.inner = inner }

  func prepare(_ commit: borrowing Commit) throws(StoreError) -> (any Sendable)? {
    beforePrepare(commit.firstSequence)
    if let preparationFailure { throw preparationFailure }
    return try inner.prepare(commit)
  }

  func append(_ commit: borrowing Commit, state: () -> [UInt8]) throws(StoreError) {
    beforeAppend(commit.firstSequence)
    if let failure { throw failure }
    try inner.append(commit, state: state)
  }

  var start: LogStart { inner.start }
  var nextSequence: UInt64 { inner.nextSequence }
  var status: StoreStatus { inner.status }
  func close() throws(StoreError) { try inner.close() }
  func received(in times: Range<UInt64>) throws(StoreError) -> [Range<UInt64>] { try inner.received(in: times) }
  func read(
    from position: ReadPosition, before end: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StoreError) -> ReadResult {
    try inner.read(from: position, before: end, into: buffer)
  }
}

/// Holds a store's thread where it begins to store a commit.
final class Gate: Sendable {
  let isStoring = DispatchSemaphore(value: 0)
  private let mayGoOn = DispatchSemaphore(value: 0)

  /// - Parameters:
  ///   - sequence: the first of the commit that is held, the first time that it comes.
  ///   - failure: what the store then throws, once.
  init(_ store: WatchedStore, at sequence: UInt64, failure: StoreError? = nil) {
    let hasCome = Mutex(false)
    store.beforeAppend = { [isStoring, mayGoOn, unowned store, before = store.beforeAppend] first in
      before(first)
      guard first == sequence,
        !hasCome.withLock({ hasCome in
          defer { hasCome = true }; return hasCome
        })
      else {
        if failure != nil { store.failure = nil }
        return
      }
      isStoring.signal()
      mayGoOn.wait()
      store.failure = failure
    }
  }

  func open() { mayGoOn.signal() }
}
