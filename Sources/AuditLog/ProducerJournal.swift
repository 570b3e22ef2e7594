import AuditSchema
import Foundation
import Logging
import Synchronization

/// A change of a producer's numbers other than by appending.
struct ProducerEvent: Sendable {
  var kind: OwnRecordKind
  var hub: String
  var producer: String
  var from: UInt64
  var to: UInt64
}

/// Records take-overs and jumps of producers in the log itself.
///
/// At most a fixed number of records in each time window, of all hubs and of one hub: nobody's hellos can fill the log or keep another hub's
/// record out. Omitted ones are counted: the next record names their number, and one is written at the end of the window.
final class ProducerJournal: Sendable {
  /// Maximum records of a window: of all hubs, and of one.
  static let records = 32
  static let hubRecords = 8

  private struct State {
    var windowEnd = ContinuousClock.now
    var written = 0
    /// At most `records`.
    var hubs: [String: Int] = [:]
    var suppressed: UInt64 = 0
    var latest: ProducerEvent?
  }

  private struct OwnRecord: Encodable {
    var kind: OwnRecordKind
    var hub: String
    var producer: String
    var from: UInt64
    var to: UInt64
    /// Events that were not recorded.
    var suppressed: UInt64?
  }

  private let window: Duration
  private let logger: Logger
  private let state = Mutex(State())
  private let records: AsyncStream<[UInt8]>
  private let record: AsyncStream<[UInt8]>.Continuation

  init(window: Duration, logger: Logger) {
    self.window = window
    self.logger = logger
    (records, record) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(4 * Self.records))
  }

  /// Starts writing reported events.
  ///
  /// - Parameter own: appends the log's own records.
  func start(_ own: LocalAppender) {
    Task { [records, logger] in
      for await json in records {
        do {
          _ = try await own.append([.custom(json: json)])
        } catch {
          logger.error(
            "a record of what happened to a producer was not stored",
            metadata: ["record": "\(String(decoding: json, as: UTF8.self))", "reason": "\(error)"])
        }
      }
    }
  }

  func close() { record.finish() }

  /// Never blocks.
  func report(_ event: ProducerEvent) {
    let now = ContinuousClock.now
    let wait = state.withLock { state -> Duration? in
      if now >= state.windowEnd {
        state.windowEnd = now + window
        state.written = 0
        state.hubs.removeAll()
      }
      guard state.written < Self.records, state.hubs[event.hub, default: 0] < Self.hubRecords else {
        state.suppressed += 1
        defer { state.latest = event }
        return state.latest == nil ? state.windowEnd - now : nil
      }
      state.written += 1
      state.hubs[event.hub, default: 0] += 1
      write(event, &state)
      return nil
    }
    guard let wait else { return }
    Task { [weak self] in
      try? await Task.sleep(for: wait)
      self?.writeSuppressed()
    }
  }

  private func writeSuppressed() {
    state.withLock { state in
      guard let latest = state.latest else { return }
      state.suppressed -= 1
      write(latest, &state)
    }
  }

  private func write(_ event: ProducerEvent, _ state: inout State) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let own = OwnRecord(
      kind: event.kind, hub: event.hub, producer: event.producer, from: event.from, to: event.to,
      suppressed: state.suppressed > 0 ? state.suppressed : nil)
    guard let json = try? encoder.encode(own) else { return }
    (state.suppressed, state.latest) = (0, nil)
    record.yield(Array(json))
  }
}
