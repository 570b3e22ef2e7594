import AuditSchema
import MerkleTree

/// A data directory taken apart: everything that somebody who knows the format, and has no key, can change and put together again.
struct ForgedLog {
  struct Commit {
    /// Unix ns.
    var receivedAt: UInt64
    var records: [ForgedRecord]
  }

  struct Segment {
    var header: SegmentHeader
    var commits: [Commit]
  }

  static let root = "/log"

  var segments: [Segment] = []
  var checkpoints: [StoredCheckpoint] = []

  /// - Parameter mayBeTorn: what is not a whole commit at the end of the newest segment is left out.
  /// - Returns: `nil` when the files are not those of a log.
  init?(_ files: [String: [UInt8]], mayBeTorn: Bool = false) {
    let found = Self.files(in: "segments", ".seg", files)
    for (index, (_, bytes)) in found.enumerated() {
      guard let segment = Segment(bytes, mayBeTorn: mayBeTorn && index == found.count - 1) else { return nil }
      segments.append(segment)
    }
    for (_, bytes) in Self.files(in: "checkpoints", ".ckpt", files) {
      var rest = bytes[...]
      while let found = rest.withUnsafeBytes({ StoredCheckpoint.read($0) }) {
        checkpoints.append(found.checkpoint)
        rest = rest.dropFirst(found.bytes)
      }
    }
  }

  static func files(in folder: String, _ suffix: String, _ files: [String: [UInt8]]) -> [(path: String, bytes: [UInt8])] {
    files.filter { $0.key.hasPrefix("\(root)/\(folder)/") && $0.key.hasSuffix(suffix) }.sorted { $0.key < $1.key }
      .map { (path: $0.key, bytes: $0.value) }
  }

  var records: [ForgedRecord] { segments.flatMap { $0.commits.flatMap(\.records) } }

  /// The roots of the tree over the first 0, 1, 2 ... records.
  var roots: [TreeHash] {
    var tree = CompactRange()
    return [tree.root]
      + records.map { record in
        tree.append(.leaf(record.header))
        return tree.root
      }
  }

  // MARK: Putting it together again

  /// Gives all records the positions and times that their places ask for.
  mutating func renumber() {
    var sequence = segments.first?.header.firstSequence ?? 0
    var receivedAt: UInt64 = 0
    for segment in segments.indices {
      segments[segment].header.firstSequence = sequence
      for commit in segments[segment].commits.indices {
        receivedAt = max(receivedAt + 1, segments[segment].commits[commit].receivedAt)
        segments[segment].commits[commit].receivedAt = receivedAt
        for record in segments[segment].commits[commit].records.indices {
          segments[segment].commits[commit].records[record].sequence = sequence
          segments[segment].commits[commit].records[record].receivedAt = receivedAt
          sequence += 1
        }
      }
    }
  }

  /// Makes what each segment's header says of those before it fit.
  mutating func rehash() {
    var tree = CompactRange()
    var previous: (bytes: UInt64, receivedAt: UInt64) = (0, 0)
    for segment in segments.indices {
      segments[segment].header.tree = tree.hashes.flatMap(\.bytes)
      segments[segment].header.previousBytes = previous.bytes
      segments[segment].header.previousReceivedAt = previous.receivedAt
      for commit in segments[segment].commits {
        previous.receivedAt = commit.receivedAt
        for record in commit.records { tree.append(.leaf(record.header)) }
      }
      previous.bytes = UInt64(segments[segment].encoded.count)
    }
  }

  /// Puts the segments and checkpoints in the place of those in `files`.
  func write(into files: inout [String: [UInt8]]) {
    for folder in ["segments", "checkpoints"] {
      for path in files.keys.filter({ $0.hasPrefix("\(Self.root)/\(folder)/") }) { files[path] = nil }
    }
    for segment in segments { files[Self.path("segments", segment.header.firstSequence, ".seg")] = segment.encoded }
    if let first = checkpoints.first { files[Self.path("checkpoints", first.size, ".ckpt")] = checkpoints.flatMap { $0.encoded() } }
  }

  static func path(_ folder: String, _ number: UInt64, _ suffix: String) -> String {
    let digits = String(number)
    return "\(root)/\(folder)/" + String(repeating: "0", count: 20 - digits.count) + digits + suffix
  }
}

extension ForgedLog.Segment {
  /// - Returns: `nil` unless it is a header and whole commits, and nothing but zeros behind them.
  init?(_ bytes: [UInt8], mayBeTorn: Bool = false) {
    guard let headerEnd = bytes.withUnsafeBytes({ SegmentHeader.encodedBytes(startingWith: $0) }), headerEnd <= bytes.count,
      let header = bytes[..<headerEnd].withUnsafeBytes({ SegmentHeader(encoded: $0) })
    else { return nil }
    self.header = header
    commits = []
    var offset = headerEnd
    while offset < bytes.count, let (commit, end) = Self.commit(bytes, at: offset, nonce: header.nonce) {
      commits.append(commit)
      offset = end
    }
    guard mayBeTorn || bytes[offset...].allSatisfy({ $0 == 0 }) else { return nil }
  }

  /// The whole commit at `offset`, and where it ends.
  private static func commit(_ bytes: [UInt8], at offset: Int, nonce: [UInt8]) -> (commit: ForgedLog.Commit, end: Int)? {
    let found = bytes[offset...].withUnsafeBytes { CommitHeader($0, nonce: nonce, offset: UInt64(offset)) }
    guard let commitHeader = found else { return nil }
    var commit = ForgedLog.Commit(receivedAt: commitHeader.receivedAt, records: [])
    var at = offset + CommitHeader.encodedBytes
    guard bytes.count - at >= Int(commitHeader.bytes) else { return nil }
    let end = at + Int(commitHeader.bytes)
    while at < end {
      guard let framing = bytes[at..<end].withUnsafeBytes({ RecordFraming(head: $0) }), framing.totalBytes <= end - at,
        let record = ForgedRecord(bytes[at..<at + framing.totalBytes]), record.encoded == Array(bytes[at..<at + framing.totalBytes])
      else { return nil }
      commit.records.append(record)
      at += framing.totalBytes
    }
    return (commit, end)
  }

  var encoded: [UInt8] {
    var header = header
    let treeBytes = 32 * header.firstSequence.nonzeroBitCount
    header.tree = Array((header.tree + [UInt8](repeating: 0, count: treeBytes)).prefix(treeBytes))
    var bytes = header.encoded()
    for commit in commits {
      let records = commit.records.flatMap(\.encoded)
      let commitHeader = CommitHeader(
        firstSequence: commit.records.first?.sequence ?? 0, receivedAt: commit.receivedAt, count: UInt32(commit.records.count),
        bytes: UInt32(records.count))
      var encodedHeader = [UInt8](repeating: 0, count: CommitHeader.encodedBytes)
      encodedHeader.withUnsafeMutableBytes { [offset = bytes.count] in
        commitHeader.encode(nonce: header.nonce, offset: UInt64(offset), into: $0)
      }
      bytes += encodedHeader + records
    }
    return bytes
  }

  /// Where each commit ends in the file.
  var commitEnds: [Int] {
    commits.indices.map { index in
      var part = self
      part.commits = Array(commits[...index])
      return part.encoded.count
    }
  }
}
