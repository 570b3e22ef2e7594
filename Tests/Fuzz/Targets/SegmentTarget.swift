import AuditLog
import AuditSchema
import Logging
import SegmentStore

extension FuzzTarget {
  /// A file of the data directory as somebody else left it. The first byte chooses which file the rest of the input is, and which of its
  /// checksums are put right, so that what lies behind them is reached too; the second is the newest segment's first sequence.
  static func segment() -> FuzzTarget {
    FuzzTarget(name: "segment") { input in
      guard input.count >= 2 else { return }
      var bytes = Array(input[2...])
      let role = input[0] & 3
      if role < 2 {
        if input[0] & 4 != 0 { SegmentRepair.header(&bytes) }
        if input[0] & 8 != 0 { SegmentRepair.records(&bytes) }
        if input[0] & 16 != 0 { SegmentRepair.marks(&bytes) }
      }
      switch role {
      case 0: try newest(bytes)
      case 1: try sealed(bytes, next: UInt64(input[1]))
      case 2: try index(bytes, isRepaired: input[0] & 4 != 0)
      default: try DirectoryCheck(identity: bytes, segments: [(0, SegmentFixture.segment(commits: 2))]).run()
      }
    }
  }

  /// What a start takes over can be read, whole; after the next append and start it is still there.
  private static func newest(_ bytes: [UInt8]) throws {
    let check = DirectoryCheck(segments: [(0, bytes)])
    guard let store = try check.run() else { return }
    let before = try must("a record that was taken over cannot be read") { try check.records(of: store) }
    try require(before.count == Int(store.nextSequence), "\(before.count) records of \(store.nextSequence)")
    let (first, time) = (store.nextSequence, store.start.lastReceivedAt)
    guard time < .max - 1 else { return }
    let record = SegmentFixture.records(first..<first + 1, receivedAt: time + 1)
    try must("the log does not go on") { () throws in
      try record.withUnsafeBytes { bytes in
        try store.append(Commit(firstSequence: first, count: 1, receivedAt: time + 1, bytes: bytes), state: { [] })
      }
      try store.close()
    }
    let again = try must("the log does not open again") { try check.open() }
    try require(again.status.tornBytes == 0, "the second start cut \(again.status.tornBytes) bytes")
    try require(try check.records(of: again) == before + [record], "after the second start the records are others")
  }

  /// A segment that is read only when somebody asks for what is in it.
  private static func sealed(_ bytes: [UInt8], next: UInt64) throws {
    guard next > 0 else { return }
    let newest = SegmentFixture.segment(commits: 1, first: next, previousBytes: UInt64(bytes.count), previousReceivedAt: next)
    _ = try DirectoryCheck(segments: [(0, bytes), (next, newest)]).run()
  }

  /// An index may be anything: it is made again, and what is read is the same. One with good checksums and wrong places may hide records,
  /// and never gives one for another.
  private static func index(_ index: [UInt8], isRepaired: Bool) throws {
    let sealed = SegmentFixture.segment(commits: 4)
    var bytes = index
    if isRepaired { SegmentRepair.index(&bytes, of: sealed) }
    let newest = SegmentFixture.segment(commits: 1, first: 8, previousBytes: UInt64(sealed.count), previousReceivedAt: 7)
    let check = DirectoryCheck(segments: [(0, sealed), (8, newest)], index: bytes)
    guard let store = try check.run() else { throw Violation(description: "an index stops the start") }
    try require(isRepaired || check.records(of: store).count == 10, "an index hides records")
    for sequence in UInt64(0)..<10 {
      guard let one = try? check.records(of: store, from: sequence) else { continue }
      try require(one.count == Int(10 - sequence), "from \(sequence) on there are \(one.count) records")
    }
  }
}

/// A data directory in memory.
struct DirectoryCheck {
  private static let root = "log"
  private let files = MemoryFileSystem()

  init(identity: [UInt8] = SegmentFixture.identity, segments: [(first: UInt64, bytes: [UInt8])], index: [UInt8]? = nil) {
    files["log/log.json"] = identity
    for (first, bytes) in segments { files["log/segments/\(name(first)).seg"] = bytes }
    if let index { files["log/index/\(name(0)).idx"] = index }
  }

  private func name(_ first: UInt64) -> String { String(repeating: "0", count: 20 - String(first).count) + String(first) }

  func open() throws(StoreError) -> SegmentStore {
    var configuration = SegmentStoreConfiguration()
    configuration.zeroAheadBytes = 64
    configuration.indexSpacingBytes = 128
    return try SegmentStore(
      directory: Self.root, configuration: configuration, fileSystem: files, logger: Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }
    )
  }

  /// Inspects the directory, opens it, and reads all of it. What is served is whole, and in order.
  ///
  /// - Returns: the open store; `nil` when it refused to start.
  @discardableResult
  func run() throws -> SegmentStore? {
    let inspection = try? LogInspection(directory: Self.root, fileSystem: files)
    let store: SegmentStore
    do { store = try open() } catch {
      try require(!error.message.isEmpty && error.code != .failed, "\(error)")
      try require(inspection?.problems.isEmpty != true, "an inspection found nothing, and the start was refused: \(error)")
      return nil
    }
    do {
      let all = try records(of: store)
      try require(all.count == Int(store.nextSequence), "\(all.count) records of \(store.nextSequence)")
      try require(try records(of: store, bufferBytes: 1) == all, "small reads give other records than large ones")
    } catch let error as StoreError {
      try require(error.code == .damaged && error.path != nil && error.offset != nil, "\(error)")
      try require(inspection?.problems.isEmpty != true, "an inspection found nothing, and a read fails: \(error)")
    }
    for time in [0, 3, store.start.lastReceivedAt, .max] {
      if let sequence = try? store.sequence(receivedAtOrAfter: time) {
        try require(sequence <= store.nextSequence, "record \(sequence) was found where \(store.nextSequence) are")
      }
    }
    return store
  }

  /// The records from `sequence` on, each with its tag and length; every one is looked at.
  func records(of store: SegmentStore, from sequence: UInt64 = 0, bufferBytes: Int = 64 << 10) throws -> [[UInt8]] {
    var records: [[UInt8]] = []
    var next = sequence
    let reader = RecordReader(store: store, from: sequence, bufferBytes: bufferBytes)
    while let batch = try reader.next() {
      try batch.forEachRange { (_, range) throws in
        let bytes = UnsafeRawBufferPointer(rebasing: batch.bytes[range])
        guard let framing = RecordFraming(head: bytes), framing.isIntact(in: bytes), framing.totalBytes == bytes.count else {
          throw Violation(description: "record \(next) was served and is not intact")
        }
        try require(framing.sequence == next, "record \(framing.sequence) was served in the place of \(next)")
        next += 1
        records.append(Array(bytes))
      }
    }
    return records
  }
}
