import AuditLog
import AuditSchema
import Glibc
import Logging
import SegmentStore

/// What the users of a log have been told, and may rely on whatever happens.
struct Promise {
  /// Records that were acknowledged or that a reader has seen, one behind the other.
  var records: [UInt8] = []
  var count: UInt64 = 0
  /// The commit that is on its way: it may be there after a crash, whole, or not.
  var underway: (records: [UInt8], count: UInt64)?
  var logID: [UInt8]?
}

/// A thing that is done with a log. A step that is added here is cut at each of its calls by every test of power loss.
enum Step: CustomStringConvertible {
  case append(records: Int, textBytes: Int)
  case closeAndOpen
  /// What a killed process and its successor do.
  case dropAndOpen
  /// The power fails between the write and the sync of a commit; then the log is opened.
  case recover

  /// Those of which all short sequences are tried; the last append fits into no segment that has a record.
  static func all(_ configuration: SegmentStoreConfiguration) -> [Step] {
    [
      .append(records: 1, textBytes: 30), .append(records: 2, textBytes: 400),
      .append(records: 1, textBytes: Int(configuration.segmentBytes) - 250), .closeAndOpen, .dropAndOpen, .recover,
    ]
  }

  var description: String {
    switch self {
    case .append(let records, let textBytes): "append \(records) x \(textBytes)"
    case .closeAndOpen: "close and open"
    case .dropAndOpen: "drop and open"
    case .recover: "recover"
    }
  }
}

/// A log on a simulated disk, with what was promised to its users, which is checked all the time.
final class Workload {
  let configuration: SegmentStoreConfiguration
  private(set) var disk: SimulatedDisk
  private(set) var promise: Promise
  /// The time of the last commit that was tried. It is part of its text too, so that no two commits are alike.
  private var clock: UInt64
  private(set) var store: SegmentStore?
  /// Called before each call that changes the disk. What it throws is thrown by the step; it may also cut the power.
  var beforeChange: ((_ workload: Workload, _ call: String) throws -> Void)?
  private var failure: (any Error)?
  private(set) var isOff = false

  init(_ configuration: SegmentStoreConfiguration, state: SimulatedState = SimulatedState()) {
    self.configuration = configuration
    disk = SimulatedDisk(state)
    promise = Promise()
    clock = 0
    watchDisk()
  }

  /// The same log on a machine that starts with `state` on its disk.
  init(_ other: Workload, restartedWith state: SimulatedState) {
    configuration = other.configuration
    disk = SimulatedDisk(state)
    promise = other.promise
    clock = other.clock
    watchDisk()
  }

  private func watchDisk() {
    disk.beforeChange = { [unowned self] call, path throws(FileSystemError) in
      if !isOff, failure == nil, let beforeChange {
        do { try beforeChange(self, call) } catch { failure = error }
      }
      if isOff || failure != nil { throw FileSystemError(call, path, EIO) }
    }
  }

  /// From now on every call that would change the disk fails.
  func cutPower() { isOff = true }

  // MARK: Steps

  /// - Throws: what is not as promised. A step that ends because the power was cut throws nothing.
  func run(_ step: Step) throws {
    do {
      switch step {
      case .append(let records, let textBytes): try append(records, textBytes: textBytes)
      case .closeAndOpen:
        try store?.close()
        try open()
      case .dropAndOpen: try open()
      case .recover: try recover()
      }
    } catch let error as StoreError where isOff || failure != nil {
      if let failure { throw failure }
      guard error.code == .failed || error.code == .unusable else { throw FixtureError("without power: \(error)") }
    }
    if let failure { throw failure }
  }

  private func open() throws {
    // The old store lets its files go before the new one asks for the lock.
    store = nil
    let store = try SegmentStore(
      directory: "/data", configuration: configuration, fileSystem: disk, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    try settle(store)
    self.store = store
  }

  /// Compares what was found with what was promised. From now on, all of it is.
  private func settle(_ store: SegmentStore) throws {
    let found = try store.content()
    let whole = promise.underway.map { promise.records + $0.records }
    if found == promise.records {
      guard store.nextSequence == promise.count else { throw FixtureError("next is \(store.nextSequence) after \(promise.count) records") }
    } else if let underway = promise.underway, found == whole {
      promise.records = found
      promise.count += underway.count
      guard store.nextSequence == promise.count else { throw FixtureError("next is \(store.nextSequence) after \(promise.count) records") }
    } else {
      throw FixtureError("\(found.count) bytes were found; \(promise.records.count) were promised, or \(whole?.count ?? 0)")
    }
    promise.underway = nil
    guard promise.logID == nil || promise.logID == store.start.logID else { throw FixtureError("it became another log") }
    promise.logID = store.start.logID
    if let torn = store.status.tornFile {
      let kept = try disk.bytes(torn).count
      guard kept == Int(store.status.tornBytes) else { throw FixtureError("\(kept) bytes were kept of \(store.status.tornBytes)") }
    }
  }

  private func append(_ records: Int, textBytes: Int) throws {
    guard let store else { throw FixtureError("the log is not open") }
    clock += 10
    let stamp = "\(clock) "
    let text = String(repeating: stamp, count: textBytes / stamp.utf8.count + 1)
    var bytes: [UInt8] = []
    for sequence in promise.count..<promise.count + UInt64(records) {
      bytes += RecordFixture.record(sequence, receivedAt: clock, text: text)
    }
    promise.underway = (bytes, UInt64(records))
    // A state that makes some headers longer than a sector.
    let state = [UInt8](repeating: 7, count: Int(clock * 37 % 700))
    try store.append(bytes, count: records, first: promise.count, receivedAt: clock, state: state)
    promise.records += bytes
    promise.count += UInt64(records)
    promise.underway = nil
    try checkVisible()
  }

  private func recover() throws {
    let watcher = beforeChange
    beforeChange = { workload, call in
      if call == "fdatasync" { workload.cutPower() } else { try watcher?(workload, call) }
    }
    do { try append(1, textBytes: 700) } catch let error as StoreError where error.code == .failed {}
    beforeChange = watcher
    if let failure { throw failure }
    var choices = CrashChoices(.subset(tears: false), seed: clock)
    store = nil
    disk = SimulatedDisk(disk.state.afterCrash(&choices))
    isOff = false
    watchDisk()
    try open()
  }

  // MARK: Checks

  /// A reader sees all that was acknowledged, and nothing else.
  func checkVisible() throws {
    guard let store else { return }
    guard store.nextSequence == promise.count else {
      throw FixtureError("a reader is told of \(store.nextSequence) records; \(promise.count) were acknowledged")
    }
    do {
      guard try store.content() == promise.records else { throw FixtureError("a reader sees something else than was acknowledged") }
    } catch let error as StoreError where error.code == .closed {}
  }
}

extension SegmentStore {
  /// All records, one behind the other, with their tags and lengths.
  func content(from sequence: UInt64 = 0) throws -> [UInt8] {
    try withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 16) { buffer in
      var content: [UInt8] = []
      var position = ReadPosition(sequence: sequence)
      while case .records(let range, _, let next) = try read(from: position, before: .max, into: buffer) {
        let stretch = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[range])
        RecordBatchBytes(stretch).forEachRange { content.append(contentsOf: stretch[$1]) }
        position = next
      }
      guard position.sequence == nextSequence else { throw FixtureError("a read ended at \(position.sequence) of \(nextSequence)") }
      return content
    }
  }
}
