import AuditSchema
import CAuditDigest
import MerkleTree

/// Files of a small log, the same at every run.
enum SegmentFixture {
  static let logID: [UInt8] = Array(0..<16)
  static let nonce: [UInt8] = Array(240...255)
  static let identity = Array(
    "{\"format\": 1, \"log_id\": \"000102030405060708090a0b0c0d0e0f\", \"created\": \"2026-01-01T00:00:00Z\"}\n".utf8)

  /// A segment of `commits` commits of two records each, received at 1, 2, 3 ... ns after `previousReceivedAt`.
  static func segment(
    commits: UInt64, first: UInt64 = 0, previousBytes: UInt64 = 0, previousReceivedAt: UInt64 = 0, tree: CompactRange = CompactRange()
  ) -> [UInt8] {
    var bytes = SegmentHeader(
      firstSequence: first, logID: logID, nonce: nonce, previousReceivedAt: previousReceivedAt, previousBytes: previousBytes, state: [],
      tree: tree.hashes.flatMap(\.bytes)
    ).encoded()
    for commit in 0..<commits {
      let sequence = first + commit * 2
      let time = previousReceivedAt + commit + 1
      let records = records(sequence..<sequence + 2, receivedAt: time)
      let commitHeader = CommitHeader(firstSequence: sequence, receivedAt: time, count: 2, bytes: UInt32(records.count))
      bytes += encoded(commitHeader, nonce: nonce, offset: bytes.count) + records
    }
    return bytes
  }

  /// The leaves of a whole segment's records: the bytes of their headers.
  static func leaves(of segment: [UInt8]) -> [TreeHash] {
    var leaves: [TreeHash] = []
    segment.withUnsafeBytes { bytes in
      RecordBatchBytes(bytes).forEachRecord { record in
        var fields = WireReader(record)
        if let header = fields.next() { leaves.append(.leaf(Array(header.bytes))) }
      }
    }
    return leaves
  }

  static func encoded(_ commitHeader: CommitHeader, nonce: [UInt8], offset: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: CommitHeader.encodedBytes)
    bytes.withUnsafeMutableBytes { commitHeader.encode(nonce: nonce, offset: UInt64(offset), into: $0) }
    return bytes
  }

  /// Records with tags and lengths.
  static func records(_ sequences: Range<UInt64>, receivedAt: UInt64) -> [UInt8] {
    sequences.flatMap { sequence in
      let header = [0x09] + littleEndian(sequence) + [0x11] + littleEndian(receivedAt) + [0x1A, 3] + Array("hub".utf8)
      var content = [0x0A] + Framing.delimited(header) + [0x12, 3, 0x0A, 1, 0x78]
      content += RecordCheck.checksum(of: content[...])
      return [0x0A] + Framing.delimited(content)
    }
  }

  static func littleEndian(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.littleEndian) { Array($0) } }
}

/// Puts the checksums of a damaged segment right, wherever its structure can still be followed.
enum SegmentRepair {
  static func header(_ bytes: inout [UInt8]) {
    guard let end = headerEnd(bytes), end >= 7 else { return }
    let start = bytes[1] < 0x80 ? 2 : 3
    guard start <= end - 5 else { return }
    // The checksum's tag is another than a record's.
    bytes.replaceSubrange((end - 5)..<end, with: [0x7D] + RecordCheck.checksum(of: bytes[start..<(end - 5)]).dropFirst())
  }

  static func records(_ bytes: inout [UInt8]) {
    for (place, isCommitHeader) in fields(bytes) where !isCommitHeader && place.count >= 7 {
      let content = place.lowerBound + (bytes[place.lowerBound + 1] < 0x80 ? 2 : 3)
      let end = place.upperBound - 5
      if content <= end { bytes.replaceSubrange(end..<place.upperBound, with: RecordCheck.checksum(of: bytes[content..<end])) }
    }
  }

  static func commitHeaders(_ bytes: inout [UInt8]) {
    guard let end = headerEnd(bytes), let header = bytes[..<end].withUnsafeBytes({ SegmentHeader(encoded: $0) }) else { return }
    for (place, isCommitHeader) in fields(bytes) where isCommitHeader && place.count == CommitHeader.encodedBytes {
      func number(_ offset: Int, _ size: Int) -> UInt64 {
        (0..<size).reduce(0) { $0 | UInt64(bytes[place.lowerBound + offset + $1]) << (8 * UInt64($1)) }
      }
      let commitHeader = CommitHeader(
        firstSequence: number(3, 8), receivedAt: number(12, 8), count: UInt32(number(21, 4)), bytes: UInt32(number(26, 4)))
      bytes.replaceSubrange(place, with: SegmentFixture.encoded(commitHeader, nonce: header.nonce, offset: place.lowerBound))
    }
  }

  /// Makes an index that of `segment`, whatever places it has.
  static func index(_ bytes: inout [UInt8], of segment: [UInt8]) {
    guard bytes.count >= 44 else { return }
    let subject =
      Array("hubaidx1".utf8) + SegmentFixture.littleEndian(0) + SegmentFixture.littleEndian(UInt64(segment.count)) + SegmentFixture.nonce
    bytes.replaceSubrange(..<40, with: subject)
    bytes.replaceSubrange((bytes.count - 4)..., with: RecordCheck.checksum(of: bytes.dropLast(4)).dropFirst())
  }

  private static func headerEnd(_ bytes: [UInt8]) -> Int? {
    bytes.withUnsafeBytes { SegmentHeader.encodedBytes(startingWith: $0) }.flatMap { $0 <= bytes.count ? $0 : nil }
  }

  /// Commit headers and records behind the header.
  private static func fields(_ bytes: [UInt8]) -> [(place: Range<Int>, isCommitHeader: Bool)] {
    guard let start = headerEnd(bytes) else { return [] }
    var found: [(Range<Int>, Bool)] = []
    bytes.withUnsafeBytes { bytes in
      var reader = WireReader(UnsafeRawBufferPointer(rebasing: bytes[start...]))
      while let field = reader.next() {
        let place = (start + field.start)..<(start + field.end)
        if bytes[place.lowerBound] == CommitHeader.tag { found.append((place, true)) }
        if bytes[place.lowerBound] == RecordFraming.tag { found.append((place, false)) }
      }
    }
    return found
  }
}
