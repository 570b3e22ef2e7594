import AuditSchema
import Foundation
import Logging
import Synchronization

/// Whether reads go on when no record of them can be stored.
public enum ReadAuditing: String, Sendable, CaseIterable {
  /// They go on, and records that are lost are counted.
  case bestEffort = "best-effort"
  /// They are refused.
  case required
}

/// Writes into the log itself who has read it, who was refused, and what was changed about access.
///
/// Records of refusals are few, however many are refused: those left out are counted in the next one. Records of reads are one for each read,
/// never one for each record, so following the log's own records makes no more of them. No call from an event loop waits. The queue is bounded.
package final class AccessTrail: Sendable {
  /// Maximum records of refusals in a window: of known principals, each with one for each right, and of all others together.
  static let deniedRecords = 256
  static let unauthenticatedRecords = 10
  /// Maximum records that wait to be stored.
  static let queuedRecords = 4096
  /// Maximum records of one append.
  private static let batchRecords = 256
  /// Time until a refused append is tried again.
  private static let patience = Duration.seconds(1)

  /// Records since the start, for metrics.
  package struct Counts: Sendable, Equatable {
    package var written: UInt64 = 0
    /// Refusals without a record of their own.
    package var suppressed: UInt64 = 0
    /// Records that were not stored.
    package var lost: UInt64 = 0
  }

  private struct Refusal: Hashable {
    var principal: String
    var right: String
  }

  private struct State {
    var windowEnd: ContinuousClock.Instant?
    var denied: Set<Refusal> = []
    var unauthenticated = 0
    /// Refusals that the next record of their kind counts.
    var suppressedDenied: UInt64 = 0
    var suppressedUnauthenticated: UInt64 = 0
    var queue: [[UInt8]] = []
    /// Whether the last append was refused.
    var isFailing = false
    var counts = Counts()
  }

  private let window: Duration
  private let mode: ReadAuditing
  private let logger: Logger
  private let now: @Sendable () -> ContinuousClock.Instant
  private let state = Mutex(State())
  private let wakes: AsyncStream<Void>
  private let wake: AsyncStream<Void>.Continuation
  private let own: LocalAppender
  private let store: any RecordStore

  /// - Parameters:
  ///   - own: appends the log's own records.
  ///   - window: refusals are counted for that long.
  ///   - now: a clock that nobody can set.
  init(
    own: LocalAppender, store: any RecordStore, mode: ReadAuditing, window: Duration, logger: Logger,
    now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
  ) {
    self.own = own
    self.store = store
    self.mode = mode
    self.window = window
    self.logger = logger
    self.now = now
    (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  func start() {
    Task { [self] in
      for await _ in wakes { await storeQueued() }
    }
  }

  func close() { wake.finish() }

  package var counts: Counts { state.withLock { $0.counts } }

  // MARK: - Refusals

  /// Somebody was refused who is nobody that the access file names. Never waits.
  ///
  /// - Parameter cause: a word, never a credential.
  package func unauthenticated(cause: String) {
    state.withLock { state in
      beginWindow(&state)
      guard state.unauthenticated < Self.unauthenticatedRecords else {
        state.suppressedUnauthenticated += 1
        state.counts.suppressed += 1
        return
      }
      state.unauthenticated += 1
      var record = OwnRecord(.accessDenied)
      record.cause = cause
      record.suppressed = take(&state.suppressedUnauthenticated)
      put(record, &state)
    }
  }

  /// An identity asked for what it has no right to. Never waits.
  package func denied(principal: String, right: String, request: String, hub: String?) {
    state.withLock { state in
      beginWindow(&state)
      let refusal = Refusal(principal: principal, right: right)
      guard state.denied.count < Self.deniedRecords, state.denied.insert(refusal).inserted else {
        state.suppressedDenied += 1
        state.counts.suppressed += 1
        return
      }
      var record = OwnRecord(.accessDenied)
      (record.principal, record.right, record.request, record.hub) = (principal, right, request, hub.map { Self.cut($0, to: 256) })
      record.suppressed = take(&state.suppressedDenied)
      put(record, &state)
    }
  }

  private func take(_ count: inout UInt64) -> UInt64? {
    defer { count = 0 }
    return count > 0 ? count : nil
  }

  private func beginWindow(_ state: inout State) {
    let now = now()
    if let end = state.windowEnd, now < end { return }
    endWindow(&state)
    state.windowEnd = now + window
  }

  /// Records how many refusals were left out since the last record of them.
  private func endWindow(_ state: inout State) {
    state.denied.removeAll()
    state.unauthenticated = 0
    for count in [take(&state.suppressedDenied), take(&state.suppressedUnauthenticated)].compactMap(\.self) {
      var record = OwnRecord(.accessDenied)
      record.suppressed = count
      put(record, &state)
    }
  }

  /// Ends a window that is over though nobody was refused since. To be called about once a second.
  package func look() {
    state.withLock { state in
      guard let end = state.windowEnd, now() >= end else { return }
      endWindow(&state)
      state.windowEnd = nil
    }
  }

  /// A connection was ended because its credentials expired or were taken away: one record a window for each principal. Never waits.
  package func credentialEnded(principal: String) {
    state.withLock { state in
      beginWindow(&state)
      guard state.denied.count < Self.deniedRecords, state.denied.insert(Refusal(principal: principal, right: "")).inserted else {
        state.suppressedDenied += 1
        state.counts.suppressed += 1
        return
      }
      var record = OwnRecord(.credentialExpired)
      record.principal = principal
      put(record, &state)
    }
  }

  // MARK: - Reads

  /// What a read or a subscription came to.
  package struct Reading: Sendable {
    package var principal: String
    /// `read`, `subscribe`, `proof`, `export`.
    package var request: String
    package var filter: RecordFilter
    /// Positions: the first one, and the one after the last record that was looked at.
    package var from: UInt64
    package var to: UInt64
    package var records: UInt64
    /// `end`, `running`, or why it ended.
    package var outcome: String

    package init(principal: String, request: String, filter: RecordFilter, from: UInt64, to: UInt64, records: UInt64, outcome: String) {
      (self.principal, self.request, self.filter, self.from, self.to) = (principal, request, filter, from, to)
      (self.records, self.outcome) = (records, outcome)
    }
  }

  /// A read has ended, or has been under way for an hour. Never waits.
  package func closed(_ reading: Reading) {
    var record = OwnRecord(.readClosed)
    (record.principal, record.request, record.outcome) = (reading.principal, reading.request, reading.outcome)
    (record.from, record.to, record.records) = (reading.from, reading.to, reading.records)
    record.filter = reading.filter.isEmpty ? nil : OwnRecord.Filter(reading.filter)
    state.withLock { put(record, &$0) }
  }

  /// - Throws: `storageFull` or `logFailed` where reads need a record, and none can be stored now.
  package func readMayBegin() throws(RequestError) {
    guard mode == .required else { return }
    let isFull = state.withLock { $0.isFailing || $0.queue.count >= Self.queuedRecords / 2 }
    let failure = store.status.appendFailure
    guard isFull || failure != nil else { return }
    throw RequestError(
      failure?.code == .full || failure == nil ? .storageFull : .logFailed,
      "reads are refused while the log cannot record them (audit-reads = required): \(failure?.message ?? "too many of these records wait")"
    )
  }

  // MARK: - Changes

  /// Records an order to erase before it is carried out.
  ///
  /// - Throws: when the record cannot be stored; then nothing may be erased.
  package func eraseOrdered(principal: String, by: String, sequence: UInt64) async throws {
    var record = OwnRecord(.eraseOrdered)
    (record.principal, record.by, record.sequence) = (principal, Self.cut(by, to: 256), sequence)
    try await append(record)
  }

  /// Records a new access file before it is in force.
  ///
  /// - Parameter names: of identities; those beyond 100 are left out.
  /// - Throws: when the record cannot be stored; then the old file stays in force.
  package func accessChanged(sha256: String, added: [String], removed: [String], changed: [String]) async throws {
    var record = OwnRecord(.accessChanged)
    record.sha256 = sha256
    (record.added, record.removed, record.changed) = (Self.few(added), Self.few(removed), Self.few(changed))
    try await append(record)
  }

  /// Records that certificates or keys were read again.
  package func credentialsReloaded(_ what: [String]) async throws {
    var record = OwnRecord(.credentialsReloaded)
    record.what = what
    try await append(record)
  }

  package func settingChanged(name: String, from: String, to: String) async throws {
    var record = OwnRecord(.settingsChanged)
    (record.name, record.from_value, record.to_value) = (name, Self.cut(from, to: 1024), Self.cut(to, to: 1024))
    try await append(record)
  }

  /// Records that the server listens where everybody who reaches it may do everything.
  package func insecureListen(address: String) async throws {
    var record = OwnRecord(.insecureListen)
    record.address = address
    try await append(record)
  }

  private func append(_ record: OwnRecord) async throws {
    _ = try await own.append([.custom(json: record.encoded)])
    state.withLock { $0.counts.written += 1 }
  }

  private static func few(_ names: [String]) -> [String]? { names.isEmpty ? nil : Array(names.sorted().prefix(100)) }

  /// Cuts what a peer chose; the cut is marked.
  static func cut(_ text: String, to bytes: Int) -> String {
    guard text.utf8.count > bytes else { return text }
    return String(decoding: text.utf8.prefix(bytes - 4), as: UTF8.self) + "…"
  }

  // MARK: - The queue

  private func put(_ record: OwnRecord, _ state: inout State) {
    guard state.queue.count < Self.queuedRecords else {
      state.counts.lost += 1
      return
    }
    state.queue.append(record.encoded)
    wake.yield()
  }

  private func storeQueued() async {
    while true {
      let batch = state.withLock { Array($0.queue.prefix(Self.batchRecords)) }
      if batch.isEmpty { return }
      do {
        _ = try await own.append(batch.map { .custom(json: $0) })
        state.withLock { state in
          state.queue.removeFirst(batch.count)
          state.counts.written += UInt64(batch.count)
          state.isFailing = false
        }
      } catch {
        let isFirst = state.withLock { state in
          defer { state.isFailing = true }
          return !state.isFailing
        }
        if isFirst {
          logger.error("records of who used the log cannot be stored now; they are kept and tried again", metadata: ["reason": "\(error)"])
        }
        guard (error as? RequestError)?.isRetryable == true else {
          // The log takes no more appends.
          return state.withLock { state in
            state.counts.lost += UInt64(state.queue.count)
            state.queue.removeAll()
          }
        }
        guard (try? await Task.sleep(for: Self.patience)) != nil else { return }
      }
    }
  }
}

/// A record of the log about access: its members are the keys of its JSON; absent ones are left out.
private struct OwnRecord: Encodable {
  struct Filter: Encodable {
    var kinds, hubs, agents, channels, tasks: [String]?
    /// Unix ns.
    var since, until: UInt64?
    /// Whether values were left out or shortened.
    var cut: Bool?

    /// Maximum values of each list, and bytes of each value.
    private static let values = 16
    private static let valueBytes = 64

    init(_ filter: RecordFilter) {
      var isCut = false
      func list(_ values: [String]) -> [String]? {
        if values.count > Self.values { isCut = true }
        let kept = values.prefix(Self.values).map { value in
          let short = AccessTrail.cut(value, to: Self.valueBytes)
          if short != value { isCut = true }
          return short
        }
        return kept.isEmpty ? nil : kept
      }
      (kinds, hubs, agents) = (list(filter.kinds), list(filter.hubs), list(filter.agents))
      (channels, tasks) = (list(filter.channels), list(filter.tasks))
      (since, until) = (filter.since, filter.until)
      cut = isCut ? true : nil
    }
  }

  var kind: OwnRecordKind
  var principal, cause, right, request, hub, outcome, by, sha256, name, address: String?
  var from_value, to_value: String?
  var from, to, records, sequence, suppressed: UInt64?
  var filter: Filter?
  var added, removed, changed, what: [String]?

  init(_ kind: OwnRecordKind) { self.kind = kind }

  var encoded: [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Strings and numbers only: encoding cannot fail.
    return Array((try? encoder.encode(self)) ?? Data("{}".utf8))
  }
}
