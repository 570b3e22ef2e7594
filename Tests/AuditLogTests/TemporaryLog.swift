import AuditLog
import AuditSchema
import Foundation
import Logging
import SegmentStore
import Synchronization
import Testing

/// A log on real files in a directory of its own, which goes with it.
final class TemporaryLog {
  let directory: String
  private(set) var log: AuditLog

  init(configuration: AuditLogConfiguration = AuditLogConfiguration(), segmentBytes: UInt64 = 1 << 20, logger: Logger? = nil) throws {
    directory = FileManager.default.temporaryDirectory.appending(path: "hubaudit-\(UUID().uuidString)").path
    self.configuration = configuration
    self.segmentBytes = segmentBytes
    var quiet = Logger(label: "test")
    quiet.logLevel = .critical
    self.logger = logger ?? quiet
    log = try Self.open(directory, configuration, segmentBytes, self.logger)
  }

  private let configuration: AuditLogConfiguration
  private let segmentBytes: UInt64
  private let logger: Logger

  private static func open(
    _ directory: String, _ configuration: AuditLogConfiguration, _ segmentBytes: UInt64, _ logger: Logger
  ) throws -> AuditLog {
    var store = SegmentStoreConfiguration()
    store.segmentBytes = segmentBytes
    return try AuditLog(
      store: SegmentStore.open(directory: directory, configuration: store, logger: logger), hub: "here", configuration: configuration,
      logger: logger)
  }

  /// Closes the log and opens it again.
  func reopen() throws {
    try log.close()
    log = try Self.open(directory, configuration, segmentBytes, logger)
  }

  deinit {
    try? log.close()
    try? FileManager.default.removeItem(atPath: directory)
  }
}

/// Appends as a connection does: encoded events with a producer's numbers, answered by an outcome.
final class ProducerFixture: CommitObserver, @unchecked Sendable {
  let log: AuditLog
  let source: AppendSource
  private let arena = DecodeArena(limitBytes: 16 << 20)
  private let encoder = EventEncoder()
  private let answered = DispatchSemaphore(value: 0)
  /// What its appends say of their old numbers.
  var checkedEnd = UInt64.max
  /// How many batches came back.
  var answers: Int { count.withLock { $0 } }
  private let count = Mutex(0)

  init(_ log: AuditLog, hub: String = "h", producer: String? = "p") throws {
    self.log = log
    source = AppendSource(origin: try RecordOrigin(hub: hub, producer: producer))
    log.sequencer.add(self)
  }

  deinit { log.sequencer.remove(self) }

  /// - Parameter batch: with appends of others; `nil`: a new one.
  func batch(_ events: [Event], number: UInt64?, with others: AppendBatch? = nil) throws -> AppendBatch {
    let batch = others ?? AppendBatch(owner: self)
    let frame = ClientFrameEncoder.append(id: 1, producerSequence: number, events: try events.map { try encoder.encode($0) })
    let part = try frame.withUnsafeBytes { bytes in
      defer { arena.reset() }
      var id: UInt64?
      guard case .frame(let range) = try Framing.next(in: bytes, at: 0, limit: .max),
        case .append(let append) = try ClientFrame(UnsafeRawBufferPointer(rebasing: bytes[range]), in: arena, identified: &id).request
      else { return batch.records.nextPart }
      return try EventTranslator(arena: arena).translate(
        append, origin: source.origin, firstNumber: number, recordLimit: 1 << 20, into: batch.records)
    }
    batch.add(
      AppendBatch.Request(id: 1, firstNumber: number, eventCount: events.count, part: part, checkedEnd: checkedEnd), source: source,
      token: 0)
    return batch
  }

  /// Submits and waits for the outcome.
  func append(_ events: [Event], number: UInt64?) throws -> Outcome { nextOutcome(try submit(events, number: number)) }

  func submit(_ events: [Event], number: UInt64?) throws -> AppendBatch {
    let batch = try batch(events, number: number)
    if let refusal = log.sequencer.submit(batch) { throw refusal }
    return batch
  }

  /// Waits for the next answer, which must be that to this batch.
  func nextOutcome(_ batch: AppendBatch) -> Outcome {
    guard answered.wait(timeout: .now() + 60) == .success else { return .pending }
    return switch batch.requests[0].outcome {
    case .pending: .pending
    case .appended(let first): .appended(first: first)
    case .duplicate(let stored, let lastSequence, let first): .duplicate(stored: stored, lastSequence: lastSequence, first: first)
    case .refused(let reason): .refused(batch.refusals[reason])
    }
  }

  /// An outcome with its reason.
  enum Outcome {
    case pending
    case appended(first: UInt64?)
    case duplicate(stored: Int, lastSequence: UInt64?, first: UInt64?)
    case refused(RequestError)
  }

  func expected(declared: UInt64? = nil) -> UInt64? { try? greet(declared: declared)?.next }

  /// Says hello, as often as one likes.
  func greet(declared: UInt64? = nil, token: [UInt8]? = nil) throws -> ProducerGreeting? {
    let result = Mutex<Result<ProducerGreeting?, RequestError>>(.success(nil))
    log.sequencer.greet(source, declared: declared, token: token) { [answered] greeting in
      result.withLock { $0 = greeting }
      answered.signal()
    }
    answered.wait()
    return try result.withLock { try $0.get() }
  }

  /// The connection is closed.
  func close() {
    log.sequencer.release(source)
    // Behind it.
    log.sequencer.numbers(of: source) { [answered] _ in answered.signal() }
    answered.wait()
  }

  func committed(_ batches: [AppendBatch], next: UInt64) {
    count.withLock { $0 += batches.count }
    for batch in batches {
      switch batch.requests[0].outcome {
      case .appended(let sequence?), .duplicate(_, let sequence?, _):
        #expect(sequence < next, "an answer tells of a record that is not durable")
      default: break
      }
      answered.signal()
    }
  }
}

extension Event {
  static func numbered(_ number: Int) -> Event { .custom(json: Array("{\"kind\": \"n\", \"n\": \(number)}".utf8)) }
  /// Of more bytes than a commit has that is stored where it was sealed.
  static func large(_ number: Int) -> Event {
    .custom(json: Array("{\"kind\": \"n\", \"n\": \(number), \"text\": \"\(String(repeating: "x", count: 40_000))\"}".utf8))
  }
  static let ignored = Event.inboxPressure(InboxPressure(agentID: "a", pending: 1, capacity: 2))
}
