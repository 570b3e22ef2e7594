import AuditLog
import AuditSchema
import Glibc
import Logging
import SegmentStore

/// A thing that is done with a log. A step that is added here is cut at each of its calls by every test of power loss.
enum Step: CustomStringConvertible {
  case append(records: Int, textBytes: Int)
  /// An append before which the machine's clock was set back.
  case stepBack
  case checkpoint
  /// Orders the erasure of a record, appends one that says so, and erases.
  case erase
  case closeAndOpen
  /// What a killed process and its successor do.
  case dropAndOpen
  /// The power fails between the write and the sync of a commit; then the log is opened.
  case recover

  /// Those of which all short sequences are tried; the last append fits into no segment that has a record.
  static func all(_ configuration: SegmentStoreConfiguration) -> [Step] {
    [
      .append(records: 1, textBytes: 30), .append(records: 2, textBytes: 400),
      .append(records: 1, textBytes: Int(configuration.segmentBytes) - 250), .checkpoint, .closeAndOpen, .dropAndOpen,
      .recover, .erase, .stepBack,
    ]
  }

  var isAppend: Bool {
    switch self {
    case .append, .recover, .stepBack: true
    case .checkpoint, .closeAndOpen, .dropAndOpen, .erase: false
    }
  }

  var description: String {
    switch self {
    case .append(let records, let textBytes): "append \(records) x \(textBytes)"
    case .stepBack: "step back"
    case .checkpoint: "checkpoint"
    case .erase: "erase"
    case .closeAndOpen: "close and open"
    case .dropAndOpen: "drop and open"
    case .recover: "recover"
    }
  }
}

/// A log on a simulated disk, with what was promised to its users, which is checked all the time.
final class Workload {
  let configuration: SegmentStoreConfiguration
  let disk: SimulatedDisk
  /// Between the log and the disk: makes calls fail.
  let faults: FaultyFileSystem
  private(set) var promise: Promise
  /// The time of the last commit that was tried. It is part of its text too, so that no two commits are alike.
  private var clock: UInt64
  /// What the machine's clock said then.
  private var time: UInt64 = 0
  private(set) var store: SegmentStore?
  /// Called before each call that changes the disk. What it throws is thrown by the step; it may also cut the power.
  var beforeChange: ((_ workload: Workload, _ call: String) throws -> Void)?
  private var failure: (any Error)?
  private var isWatching = false
  private(set) var isOff = false

  init(_ configuration: SegmentStoreConfiguration, state: SimulatedState = SimulatedState()) {
    self.configuration = configuration
    disk = SimulatedDisk(state)
    faults = FaultyFileSystem(disk)
    promise = Promise()
    clock = 0
    watchDisk()
  }

  /// The same log on a machine that starts with `state` on its disk.
  init(_ other: Workload, restartedWith state: SimulatedState) {
    configuration = other.configuration
    disk = SimulatedDisk(state)
    faults = FaultyFileSystem(disk)
    promise = other.promise
    clock = other.clock
    time = other.time
    watchDisk()
  }

  private func watchDisk() {
    disk.beforeChange = { [unowned self] call, path throws(FileSystemError) in
      // Who looks may have the store make an index, which is a change too.
      if !isOff, failure == nil, !isWatching, let beforeChange {
        isWatching = true
        defer { isWatching = false }
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
      case .stepBack: try append(1, textBytes: 40, stepsBack: true)
      case .checkpoint: try checkpoint()
      case .closeAndOpen:
        do { try store?.close() } catch {
          store = nil
          throw error
        }
        try open()
      case .dropAndOpen: try open()
      case .erase: try erase()
      case .recover: try recover()
      }
    } catch let error as StoreError where isOff || failure != nil {
      if let failure { throw failure }
      guard [.failed, .unusable, .full].contains(error.code) else { throw FixtureError("without power: \(error)") }
    }
    if let failure { throw failure }
  }

  private func open() throws {
    // The old store lets its files go before the new one asks for the lock.
    store = nil
    let store = try SegmentStore(
      directory: "/data", configuration: configuration, fileSystem: faults, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    try settle(store)
    time = store.start.lastReceivedAt
    self.store = store
    for erasure in store.pendingErasures {
      try store.erase(erasure)
      promise.records = Promise.erasing(erasure.sequence, of: promise.records)
      promise.erasure = nil
    }
  }

  /// Compares what was found with what was promised. From now on, all of it is.
  private func settle(_ store: SegmentStore) throws {
    let found = try store.content()
    guard let kept = promise.possible.first(where: { $0.records == found }) else {
      throw FixtureError("\(found.count) bytes were found; \(promise.possible.map(\.records.count)) were promised")
    }
    promise.records = kept.records
    promise.count = kept.count
    promise.underway = nil
    try checkTimes(store)
    guard store.nextSequence == promise.count else { throw FixtureError("next is \(store.nextSequence) after \(promise.count) records") }
    // Until it is carried out to its end, a crash may bring it back.
    let pending = store.pendingErasures.first.map { (sequence: $0.sequence, isOrdered: true) }
    if let ordered = promise.erasure, ordered.isOrdered, pending == nil, promise.hasBody(ordered.sequence) {
      throw FixtureError("an order to erase was lost")
    }
    promise.erasure = pending
    guard promise.logID == nil || promise.logID == store.start.logID else { throw FixtureError("it became another log") }
    promise.logID = store.start.logID
    // A look at the tree may write to its files, and who watches that looks at the promise.
    var evidence = promise.evidence
    try evidence.settle(store, records: promise.records)
    promise.evidence = evidence
    if let torn = store.status.tornFile {
      let kept = try disk.bytes(torn).count
      guard kept == Int(store.status.tornBytes) else { throw FixtureError("\(kept) bytes were kept of \(store.status.tornBytes)") }
    }
  }

  private func append(_ records: Int, textBytes: Int, stepsBack: Bool = false) throws {
    guard let store else { throw FixtureError("the log is not open") }
    clock += 10
    let before = time
    time = stepsBack ? max(1, time - min(time, 35)) : time + 10
    let stamp = "\(clock) "
    let text = String(repeating: stamp, count: textBytes / stamp.utf8.count + 1)
    var bytes: [UInt8] = []
    for sequence in promise.count..<promise.count + UInt64(records) {
      bytes += RecordFixture.record(sequence, receivedAt: time, text: text)
    }
    // What failed may be on the disk; after it, nothing else gets there.
    let isLast = promise.underway != nil
    if !isLast { promise.underway = (bytes, UInt64(records)) }
    // A state that makes some headers longer than a sector.
    let state = [UInt8](repeating: 7, count: Int(clock * 37 % 700))
    do { try store.append(bytes, count: records, first: promise.count, receivedAt: time, stepsBack: stepsBack, state: state) } catch let
      error as StoreError
    {
      time = before
      // It says that nothing was stored: then nothing of it may ever be there.
      if error.code == .full { promise.underway = nil }
      throw error
    }
    guard !isLast else { throw FixtureError("an append after one that failed was taken") }
    promise.records += bytes
    promise.count += UInt64(records)
    promise.underway = nil
    try checkVisible()
  }

  /// Stores a checkpoint, and the one before it again as it comes back from a witness.
  private func checkpoint() throws {
    guard let store else { throw FixtureError("the log is not open") }
    clock += 10
    let checkpoint = try PromisedEvidence.checkpoint(store, records: promise.records, time: clock)
    try keep(checkpoint, isCosigned: false) { (checkpoint) throws(StoreError) in try store.store(checkpoint) }
    guard store.newestCheckpoint == checkpoint else { throw FixtureError("the newest checkpoint is not the one that was stored") }
    clock += 10
    guard let cosigned = try promise.evidence.cosigned(time: clock) else { return }
    try keep(cosigned, isCosigned: true) { (checkpoint) throws(StoreError) in try store.store(cosigned: checkpoint) }
  }

  private func keep(_ checkpoint: StoredCheckpoint, isCosigned: Bool, _ store: (StoredCheckpoint) throws(StoreError) -> Void) throws {
    promise.evidence.begin(checkpoint, isCosigned: isCosigned)
    do throws(StoreError) { try store(checkpoint) } catch {
      if error.code == .full { promise.evidence.refuse(checkpoint) }
      throw error
    }
    try promise.evidence.accept(checkpoint)
  }

  private func erase() throws {
    guard let store else { throw FixtureError("the log is not open") }
    guard promise.count > 0 else { return }
    let sequence = promise.erasure?.sequence ?? clock / 10 * 7 % promise.count
    guard promise.erasure != nil || promise.hasBody(sequence) else { return }
    let erasure = Erasure(sequence: sequence, logSize: promise.count, note: Array("order".utf8))
    if promise.erasure?.isOrdered != true {
      promise.erasure = (sequence, false)
      try store.order(erasure)
      promise.erasure = (sequence, true)
    }
    try append(1, textBytes: 60)
    try store.erase(erasure)
    promise.records = Promise.erasing(sequence, of: promise.records)
    promise.erasure = nil
    try checkVisible()
  }

  private func recover() throws {
    let watcher = beforeChange
    beforeChange = { workload, call in
      if call == "fdatasync" { workload.cutPower() } else { try watcher?(workload, call) }
    }
    defer { beforeChange = watcher }
    do { try append(1, textBytes: 700) } catch let error as StoreError where error.code == .failed && isOff {}
    if let failure { throw failure }
    beforeChange = watcher
    var choices = CrashChoices(.subset(tears: false), seed: clock)
    store = nil
    disk.restart(with: disk.state.afterCrash(&choices))
    isOff = false
    try open()
  }

  // MARK: Checks

  /// A search by time finds what was received in it, in every stretch.
  private func checkTimes(_ store: SegmentStore) throws {
    // It may make an index, which nothing rests on.
    let wasWatching = isWatching
    isWatching = true
    defer { isWatching = wasWatching }
    var times: [UInt64] = []
    promise.records.withUnsafeBytes { bytes in
      RecordBatchBytes(bytes).forEachRecord { record in
        var fields = WireReader(record)
        var header = WireReader(fields.next()!.bytes)
        while let field = header.next() { if field.number == 2 { times.append(field.value) } }
      }
    }
    for begin in Set(times.suffix(3) + times.prefix(2)) {
      let wanted = begin..<begin + 15
      let found = try store.received(in: wanted).flatMap { Array($0) }
      guard found == times.indices.filter({ wanted.contains(times[$0]) }).map({ UInt64($0) }) else {
        throw FixtureError("records \(found) were found as those of \(wanted); the times are \(times)")
      }
    }
  }

  /// A reader sees all that was acknowledged, and nothing else.
  func checkVisible() throws {
    guard let store else { return }
    guard store.nextSequence == promise.count else {
      throw FixtureError("a reader is told of \(store.nextSequence) records; \(promise.count) were acknowledged")
    }
    do {
      for first in Set([0, promise.count / 2]) where !promise.visible(from: first).contains(try store.content(from: first)[...]) {
        throw FixtureError("a reader from record \(first) on sees something else than was acknowledged")
      }
    } catch let error as StoreError where error.code == .closed {
    } catch let error as StoreError where error.code == .damaged && promise.erasure?.isOrdered == true {
      // A record that a failed sync left erased in part; the next start has the order.
    }
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
