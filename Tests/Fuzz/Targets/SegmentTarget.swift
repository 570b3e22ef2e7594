import AuditLog
import AuditSchema
import Logging
import MerkleTree
import SegmentStore
import TestSupport

extension FuzzTarget {
  /// A file of the data directory as somebody else left it. The first byte chooses which file the rest of the input is, and which of its
  /// checksums are put right, so that what lies behind them is reached too; the second is the newest segment's first sequence, or chooses
  /// among the other files.
  static func segment() -> FuzzTarget {
    FuzzTarget(name: "segment") { input in
      guard input.count >= 2 else { return }
      var bytes = Array(input[2...])
      let isRepaired = input[0] & 4 != 0
      if input[0] & 3 < 2 {
        if isRepaired { SegmentRepair.header(&bytes) }
        if input[0] & 8 != 0 { SegmentRepair.records(&bytes) }
        if input[0] & 16 != 0 { SegmentRepair.commitHeaders(&bytes) }
      }
      switch (input[0] & 3, input[1] & 3) {
      case (0, _): try newest(bytes)
      case (1, _): try sealed(bytes, next: UInt64(input[1]))
      case (2, _): try index(bytes, isRepaired: isRepaired)
      case (_, 0): try DirectoryCheck(segments: [(0, SegmentFixture.segment(commits: 2))], others: ["log.json": bytes]).run()
      case (_, 1): try checkpoints(isRepaired ? StoredCheckpoint(size: 4, storedAt: 1, note: bytes).encoded() : bytes)
      default: try tree(bytes)
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

  /// Two segments, of which the first is read only when somebody asks for what is in it: the tree's files fit to what the second one says.
  private static func directory(
    _ sealed: [UInt8], next: UInt64, previousReceivedAt: UInt64, others: [String: [UInt8]] = [:]
  ) -> DirectoryCheck {
    let leaves = (0..<next).map { TreeHash.leaf([UInt8(truncatingIfNeeded: $0)]) }
    var tree = CompactRange()
    for leaf in leaves { tree.append(leaf) }
    let newest = SegmentFixture.segment(
      commits: 1, first: next, previousBytes: UInt64(sealed.count), previousReceivedAt: previousReceivedAt, tree: tree)
    let files = ["tree/0.hashes": leaves.flatMap(\.bytes)].merging(others) { $1 }
    return DirectoryCheck(segments: [(0, sealed), (next, newest)], others: files)
  }

  private static func sealed(_ bytes: [UInt8], next: UInt64) throws {
    if next > 0 { try directory(bytes, next: next, previousReceivedAt: next).run() }
  }

  /// An index may be anything: it is made again, and what is read is the same. One with good checksums and wrong places may hide records,
  /// and never gives one for another.
  private static func index(_ index: [UInt8], isRepaired: Bool) throws {
    let sealed = SegmentFixture.segment(commits: 4)
    var bytes = index
    if isRepaired { SegmentRepair.index(&bytes, of: sealed) }
    let check = directory(sealed, next: 8, previousReceivedAt: 7, others: ["index/00000000000000000000.idx": bytes])
    guard let store = try check.run() else { throw Violation(description: "an index stops the start") }
    try require(isRepaired || check.records(of: store).count == 10, "an index hides records")
    for sequence in UInt64(0)..<10 {
      guard let one = try? check.records(of: store, from: sequence) else { continue }
      try require(one.count == Int(10 - sequence), "from \(sequence) on there are \(one.count) records")
    }
  }

  /// Stored checkpoints are all read, or it is said where one is damaged; one that the log does not fit to stops the start.
  private static func checkpoints(_ bytes: [UInt8]) throws {
    let others = ["checkpoints/00000000000000000004.ckpt": bytes]
    let check = DirectoryCheck(segments: [(0, SegmentFixture.segment(commits: 2))], others: others)
    guard let store = try check.run() else { return }
    var last: StoredCheckpoint?
    try must("a checkpoint that a start takes over cannot be read") { try store.forEachCheckpoint { last = $0 } }
    try require(last == store.newestCheckpoint, "the newest checkpoint is another than the last")
  }

  /// The tree's files may be anything: they are made again.
  private static func tree(_ bytes: [UInt8]) throws {
    let sealed = SegmentFixture.segment(commits: 4)
    let leaves = SegmentFixture.leaves(of: sealed)
    var before = CompactRange()
    for leaf in leaves { before.append(leaf) }
    let newest = SegmentFixture.segment(
      commits: 1, first: 8, previousBytes: UInt64(sealed.count), previousReceivedAt: 7, tree: before)
    let check = DirectoryCheck(segments: [(0, sealed), (8, newest)], others: ["tree/0.hashes": bytes])
    guard let store = try check.run() else { throw Violation(description: "a file of the tree stops the start") }
    let all = leaves + SegmentFixture.leaves(of: newest)
    var whole = CompactRange()
    for leaf in all { whole.append(leaf) }
    try require(try store.treeHead() == TreeHead(size: 10, root: whole.root), "the tree is not that of the records")
    try require(try store.tile(level: 0, index: 0) == all, "a tile is not made of the records")
  }
}

/// A data directory in memory.
struct DirectoryCheck {
  private static let root = "log"
  private let files = MemoryFileSystem()

  /// - Parameter others: files by their names in the directory.
  init(segments: [(first: UInt64, bytes: [UInt8])], others: [String: [UInt8]] = [:]) {
    files["log/log.json"] = SegmentFixture.identity
    for (first, bytes) in segments { files["log/segments/\(name(first)).seg"] = bytes }
    for (name, bytes) in others { files["log/\(name)"] = bytes }
  }

  private func name(_ first: UInt64) -> String { String(repeating: "0", count: 20 - String(first).count) + String(first) }

  func open() throws(StoreError) -> SegmentStore {
    var configuration = SegmentStoreConfiguration()
    configuration.zeroAheadBytes = 64
    configuration.indexSpacingBytes = 128
    configuration.scrubBytesPerSecond = 0
    configuration.placeCheckInterval = .zero
    return try SegmentStore(
      directory: Self.root, configuration: configuration, fileSystem: files, logger: Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }
    )
  }

  /// Inspects the directory, opens it, and reads all of it. What is served is whole, and in order.
  ///
  /// - Returns: the open store; `nil` when it refused to start.
  @discardableResult
  func run() throws -> SegmentStore? {
    // It looks at records, not at checkpoints.
    let hasCheckpoints = try !files.list(Self.root + "/checkpoints").isEmpty
    let inspection = hasCheckpoints ? nil : try? LogInspection(directory: Self.root, fileSystem: files)
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
