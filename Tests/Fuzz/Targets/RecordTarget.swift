import AuditSchema
import CAuditDigest

extension FuzzTarget {
  /// What a reader makes of a record, and what a store and a start make of the small shapes in a segment. A first byte that is odd has the
  /// record's checksum put right.
  static func records() -> FuzzTarget {
    let check = RecordCheck()
    return FuzzTarget(name: "records") { input in
      guard let first = input.first else { return }
      var bytes = Array(input.dropFirst())
      if first & 1 == 1, bytes.count >= 5 {
        bytes.replaceSubrange((bytes.count - 5)..., with: RecordCheck.checksum(of: bytes.dropLast(5)))
      }
      if let record = try? Record(bytes) { try check.look(at: record) }
      try bytes.withUnsafeBytes { bytes in
        _ = RecordMatcher(RecordCheck.everything).matches(bytes)
        _ = RecordFraming(head: bytes)?.isIntact(in: bytes)
        if let found = StoredCheckpoint.read(bytes) {
          try require(found.checkpoint.encoded() == Array(bytes[..<found.bytes]), "a checkpoint has two spellings")
        }
        _ = CommitHeader(bytes, nonce: [UInt8](repeating: 7, count: 16), offset: 100)
      }
      if let state = try? SequencerState(encoded: bytes) {
        let again = try must("an encoded state is not understood") { try SequencerState(encoded: state.encoded()) }
        try require(again == state, "\(state) came back as \(again)")
      }
    }
  }
}

/// What holds for records.
struct RecordCheck {
  /// A filter that has to look at everything it can look at.
  static let everything = RecordFilter(
    kinds: ["k", "agent_registered"], hubs: ["hub"], agents: ["a-1", "x"], channels: ["c-1"], tasks: ["t-1"], since: 1, until: 1 << 63)

  static func checksum(of content: ArraySlice<UInt8>) -> [UInt8] {
    let value = content.withUnsafeBytes { caudit_crc32c(0, $0.baseAddress, $0.count) }
    return [0x1D] + (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  /// A record from anywhere: its parts can be asked for.
  func look(at record: Record) throws {
    _ = record.isIntact
    _ = record.encodedHeader.count
    let body = record.encodedBody
    let json = try? record.json()
    try require(body != nil || json == nil, "an erased body has JSON text")
    if let line = try? record.unreadableLine() { try require(record.kind == "unreadable_line", "a line of \(line.line.count) bytes") }
  }

  /// Records that were made here from what a client sent: whole, readable by everybody, found by filters.
  func sealed(_ batch: UnsafeRawBufferPointer, count: Int, hub: String) throws {
    var sequence: UInt64 = 0
    var end = 0
    try RecordBatchBytes(batch).forEachRange { (bytes, range) throws in
      try require(range.lowerBound == end, "record \(sequence) begins at \(range.lowerBound), not at \(end)")
      end = range.upperBound
      guard let framing = RecordFraming(head: UnsafeRawBufferPointer(rebasing: batch[range.lowerBound...])),
        framing.isIntact(in: UnsafeRawBufferPointer(rebasing: batch[range])), framing.totalBytes == range.count
      else { throw Violation(description: "the store would refuse record \(sequence)") }
      let record = try must("a client could not read record \(sequence)") { try Record(Array(bytes)) }
      try require(record.isIntact && record.sequence == sequence && framing.sequence == sequence, "record \(sequence) is not intact")
      try require(record.hub == hub && !record.isErased, "the record is of hub \(record.hub)")
      let json = try must("record \(sequence) has no JSON text") { try record.json() }
      try require(json?.withUnsafeBytes { JSONText.isObject($0) } == true, "the JSON text of record \(sequence) is none")
      let own = RecordFilter(kinds: record.kind.map { [$0] } ?? [], hubs: [hub])
      try require(RecordMatcher(own).matches(bytes), "a filter by its own kind does not find record \(sequence)")
      try require(!RecordMatcher(RecordFilter(hubs: [hub + "x"])).matches(bytes), "a filter by another hub finds record \(sequence)")
      sequence += 1
    }
    try require(end == batch.count && sequence == UInt64(count), "\(sequence) of \(count) records in \(end) of \(batch.count) bytes")
  }
}
