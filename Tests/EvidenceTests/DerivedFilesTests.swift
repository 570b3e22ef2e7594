import AuditLog
import AuditSchema
import MerkleTree
import TestSupport
import Testing

/// What is derived from the log may be changed at will: it is made again, and nothing else is ever told.
@Suite(.timeLimit(.minutes(10))) struct DerivedFilesTests {
  private static let rounds = 600

  @Test("whatever is done to the index, the tree's files and the zeros ahead: records, tiles and proofs are what they were")
  func healed() async throws {
    let seed = TamperingTests.seed
    print("derived files: seed \(seed) (HUBAUDIT_SEED)")
    var random = SeededRandom(seed: seed)
    let log = try await SignedLog.make(records: 700, segmentBytes: 32 << 10, isRunning: true, random: &random)
    let auditors = try Auditors()
    let old = try #require(ForgedLog(log.files))
    for round in 0..<Self.rounds {
      var files = log.files
      var done: [String] = []
      for _ in 0..<1 + random.below(3) { done.append(Self.change(&files, log, &random)) }
      let what = "seed \(seed), round \(round): \(done)"
      if round % 10 == 0 { #expect(try await auditors.look(at: files, of: log) == .nobody(opened: true), "\(what)") }
      let disk = MemoryFileSystem(files)
      let opened = try await SignedLog.open(disk, signers: [log.keys[1]], segmentBytes: log.segmentBytes, now: { UTCTime.now() })
      defer { try? opened.close() }
      try Self.compare(opened, with: old, &random, what)
    }
  }

  /// Changes one derived file, or all of them.
  private static func change(_ files: inout [String: [UInt8]], _ log: SignedLog, _ random: inout SeededRandom) -> String {
    let paths = files.keys.filter { $0.hasPrefix("\(ForgedLog.root)/index/") || $0.hasPrefix("\(ForgedLog.root)/tree/") }.sorted()
    guard !paths.isEmpty, !random.oneIn(12) else {
      let newest = files.keys.filter { $0.hasSuffix(".seg") }.max()!
      let zeros = random.below(3000)
      files[newest] = ForgedLog.Segment(files[newest]!)!.encoded + [UInt8](repeating: 0, count: zeros)
      return "\(zeros) zeros ahead"
    }
    let path = random.pick(paths)
    let bytes = files[path]!
    switch random.below(8) {
    case 0:
      files[path] = nil
      return "\(path) removed"
    case 1:
      for path in paths { files[path] = nil }
      return "all removed"
    case 2:
      let end = random.below(bytes.count + 1)
      files[path] = Array(bytes[..<end])
      return "\(path) cut at \(end)"
    case 3:
      files[path]! += (0..<random.below(9000)).map { _ in UInt8(random.below(256)) }
      return "\(path) with something behind it"
    case 4:
      let other = random.pick(paths)
      (files[path], files[other]) = (files[other], files[path])
      return "\(path) and \(other) swapped"
    case 5:
      files[path] = random.pick(log.copies)[path] ?? []
      return "\(path) of an older copy"
    case 6:
      files[path] = [UInt8](repeating: 0, count: bytes.count)
      return "\(path) of zeros"
    default:
      guard !bytes.isEmpty else { return "nothing" }
      let at = random.below(bytes.count)
      files[path]![at] ^= UInt8(1 + random.below(255))
      return "byte \(at) of \(path) changed"
    }
  }

  private static func compare(
    _ opened: AuditLog, with old: ForgedLog, _ random: inout SeededRandom, _ what: String
  ) throws {
    let records = old.records
    let leaves = records.map { TreeHash.leaf($0.header) }
    let roots = old.roots
    // From anywhere, so that the index is asked.
    let first = random.below(records.count)
    var seen: [[UInt8]] = []
    try opened.forEach(from: UInt64(first)) { seen.append($0.encoded) }
    #expect(seen == records[first...].map(\.content), "\(what)")

    let evidence = try #require(opened.store.evidence)
    #expect(try evidence.treeHead() == TreeHead(size: UInt64(records.count), root: roots[records.count]), "\(what)")
    for index in 0...leaves.count / 256 {
      let tile = try evidence.tile(level: 0, index: UInt64(index))
      #expect(tile == Array(leaves[(index * 256)..<min(leaves.count, index * 256 + 256)]), "\(what)")
    }
    let size = UInt64(1 + random.below(records.count))
    let older = UInt64(random.below(Int(size) + 1))
    let sequence = UInt64(random.below(Int(size)))
    let proofs = LogProofs(evidence)
    try InclusionProof(index: sequence, treeSize: size, path: proofs.inclusion(of: sequence, size: size))
      .verify(leaf: leaves[Int(sequence)], root: roots[Int(size)])
    try ConsistencyProof(oldSize: older, newSize: size, path: proofs.consistency(from: older, size: size))
      .verify(oldRoot: roots[Int(older)], newRoot: roots[Int(size)])
  }
}
