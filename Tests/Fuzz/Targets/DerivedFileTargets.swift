import AuditLog
import AuditSchema
import CAuditDigest
import MerkleTree
import SegmentStore

/// Files beside the records: search indexes, and checkpoints that came back from witnesses.
extension FuzzTarget {
  /// A search index as somebody else left it. Bit 0 of the first byte: its head and the checksum over its blocks are put right; bit 1: those
  /// of its filters too, so that wrong blocks and filters are reached.
  ///
  /// It may be anything: without good checksums it is not asked, and whatever it says, a read that goes by it gives records of the log.
  static func bloom() -> FuzzTarget {
    FuzzTarget(name: "bloom") { input in
      guard let flags = input.first else { return }
      let sealed = SegmentFixture.segment(commits: 4)
      let leaves = SegmentFixture.leaves(of: sealed)
      var tree = CompactRange()
      for leaf in leaves { tree.append(leaf) }
      let newest = SegmentFixture.segment(
        commits: 1, first: 8, previousBytes: UInt64(sealed.count), previousReceivedAt: 7, tree: tree)
      var bytes = Array(input.dropFirst())
      if flags & 1 != 0 {
        SegmentRepair.searchIndex(&bytes, of: sealed, tree: tree.hashes.flatMap(\.bytes), filters: flags & 2 != 0)
      }
      let check = DirectoryCheck(
        segments: [(0, sealed), (8, newest)],
        others: ["tree/0.hashes": leaves.flatMap(\.bytes), "index/00000000000000000000.bloom": bytes])
      guard let store = try check.run() else { throw Violation(description: "a search index stops the start") }
      for filter in [RecordFilter(hubs: ["hub"]), RecordFilter(kinds: [""]), RecordFilter(agents: ["nobody"])] {
        for backwards in [false, true] {
          let found = try candidates(SearchTerms(filter), backwards: backwards, in: store, check)
          // Its checksums keep accidents out, not forgery: filters that are put right may hide records.
          try require(flags & 3 == 3 || filter.agents != [] || found.count == 10, "a spoilt index hides \(10 - found.count) records")
        }
      }
    }
  }

  /// The sequences that are not ruled out, each of which is read from where the index says.
  private static func candidates(
    _ terms: SearchTerms, backwards: Bool, in store: SegmentStore, _ check: DirectoryCheck
  ) throws -> Set<UInt64> {
    var found: Set<UInt64> = []
    var left = UInt64(0)..<store.nextSequence
    while !left.isEmpty {
      let stretch = try must("no candidates") { try store.candidates(in: left, for: terms, backwards: backwards) }
      let passed = backwards ? stretch.start.sequence : stretch.end
      try require(
        stretch.start.sequence >= left.lowerBound && stretch.end <= left.upperBound
          && (backwards ? passed < left.upperBound : passed > left.lowerBound),
        "of \(left) the candidates are \(stretch.start.sequence)..<\(stretch.end)")
      if !stretch.isEmpty {
        try read(from: stretch.start, before: stretch.end, in: store)
        found.formUnion(stretch.start.sequence..<stretch.end)
      }
      left = backwards ? left.lowerBound..<passed : passed..<left.upperBound
    }
    return found
  }

  /// A wrong place is refused as damage; no record is given for another.
  private static func read(from position: ReadPosition, before end: UInt64, in store: SegmentStore) throws {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    defer { buffer.deallocate() }
    do {
      guard case .records(let range, _, _) = try store.read(from: position, before: end, into: buffer) else { return }
      var next = position.sequence
      try RecordBatchBytes(UnsafeRawBufferPointer(rebasing: buffer[range])).forEachRange { (record, _) throws in
        try require(RecordBytes(record)?.sequence == next, "another record was served in the place of \(next)")
        next += 1
      }
    } catch let error as StoreError {
      try require(error.code == .damaged, "\(error)")
    }
  }

  /// A file of cosigned checkpoints as somebody else left it. The first byte is odd: the rest is notes, each behind its size (1 byte) and its
  /// length (1 byte), of which the file is made; even: the file itself.
  ///
  /// A start reads all of it or says where it is damaged; what it takes over is there again after the next one, and it goes on.
  static func cosigned() -> FuzzTarget {
    FuzzTarget(name: "cosigned") { input in
      guard let flags = input.first else { return }
      var bytes = Array(input.dropFirst())
      if flags & 1 != 0 { bytes = checkpoints(of: bytes) }
      let check = DirectoryCheck(
        segments: [(0, SegmentFixture.segment(commits: 2))], others: ["checkpoints/00000000000000000004.cosigned": bytes])
      guard let store = try check.run() else { return }
      let before = try all(of: store)
      let newest = try must("the newest cosigned checkpoint cannot be read") { try store.newestCosigned { _ in true } }
      try require(newest?.size == before.map(\.size).max(), "the newest covers \(String(describing: newest?.size))")
      guard let newest else { return }
      let next = StoredCheckpoint(size: newest.size, storedAt: newest.storedAt, note: Array("a note".utf8))
      let isStored = try must("no more can be stored") { try store.store(cosigned: next) }
      try store.close()
      let again = try must("the log does not open again") { try check.open() }
      let after = try all(of: again)
      try require(after.count == before.count + (isStored ? 1 : 0), "\(before.count) checkpoints became \(after.count)")
      try require(!isStored || after.contains(next), "what was stored is not there after a start")
    }
  }

  private static func all(of store: SegmentStore) throws -> [StoredCheckpoint] {
    var found: [StoredCheckpoint] = []
    try must("a checkpoint that a start takes over cannot be read") { try store.forEachCheckpoint { found.append($0) } }
    try require(found.map(\.size) == found.map(\.size).sorted(), "the checkpoints are not in the order of their sizes")
    return found
  }

  private static func checkpoints(of bytes: [UInt8]) -> [UInt8] {
    var file: [UInt8] = []
    var rest = bytes[...]
    while let size = rest.popFirst(), let length = rest.popFirst() {
      let note = rest.prefix(Int(length))
      rest = rest.dropFirst(note.count)
      file += StoredCheckpoint(size: UInt64(size), storedAt: UInt64(file.count), note: Array(note)).encoded()
    }
    return file
  }
}

extension SegmentRepair {
  /// Makes a search index that of `segment`, whatever blocks it has.
  ///
  /// - Parameter tree: of the segment after it.
  static func searchIndex(_ bytes: inout [UInt8], of segment: [UInt8], tree: [UInt8], filters: Bool) {
    let (headBytes, blockBytes, trailerBytes) = (72, 24, 8)
    guard bytes.count >= headBytes + trailerBytes else { return }
    let subject =
      Array("hubaudb2".utf8) + SegmentFixture.littleEndian(0) + SegmentFixture.littleEndian(UInt64(segment.count)) + SegmentFixture.nonce
      + SHA256.hash(tree)
    bytes.replaceSubrange(..<headBytes, with: subject)
    func number(_ offset: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) } }
    let tableEnd = bytes.count - trailerBytes
    let table = tableEnd - number(tableEnd) * blockBytes
    guard table >= headBytes else { return }
    var filter = headBytes
    if filters {
      for block in stride(from: table, to: tableEnd, by: blockBytes) {
        let end = filter + number(block + 16)
        guard end <= table else { break }
        bytes.replaceSubrange((block + 20)..<(block + 24), with: checksum(of: bytes[filter..<end]))
        filter = end
      }
    }
    let checked = bytes[..<headBytes] + bytes[table..<(tableEnd + 4)]
    bytes.replaceSubrange((tableEnd + 4)..., with: checksum(of: checked))
  }

  private static func checksum(of bytes: ArraySlice<UInt8>) -> [UInt8] {
    let value = Array(bytes).withUnsafeBytes { caudit_crc32c(0, $0.baseAddress, $0.count) }
    return withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }
}
