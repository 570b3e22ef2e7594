import AuditLog
import AuditSchema
import Logging

/// Recovers the newest segment up to its last whole commit. FORMAT.md has the decision table.
///
/// Older segments were complete before their successor was created. Only the last of them is checked, and only its size.
struct Recovery {
  struct Result {
    var table: SegmentTable
    var active: ActiveSegment
    var header: SegmentHeader
    /// Offset of the first commit in the newest segment.
    var headerEnd: UInt64
    var index: SparseIndex
    var nextSequence: UInt64
    /// Unix ns. The next commit must be later, unless the clock was set back.
    var receivedAfter: UInt64
    var torn: TornEnd?
  }

  let directory: DataDirectory
  let identity: LogIdentity
  let configuration: SegmentStoreConfiguration
  /// Newest signed checkpoint. It was published, so every record that it covers was durable.
  let newestCheckpoint: StoredCheckpoint?
  let logger: Logger

  func run() throws(StoreError) -> Result {
    let (firstSequences, unfinished) = try directory.listSegments()
    for path in unfinished {
      logger.notice("removing an unfinished segment of an interrupted run", metadata: ["path": "\(path)"])
      try preparing { () throws(FileSystemError) in try directory.fileSystem.remove(path) }
    }
    var rows = try sizes(of: firstSequences)
    let newest = rows[rows.count - 1]
    let path = directory.segment(newest.firstSequence)
    let file = try preparing { () throws(FileSystemError) in try directory.fileSystem.open(path, .readWrite) }
    // Another server may have the same file open through a hard link.
    guard try preparing({ () throws(FileSystemError) in try file.lock() }) else {
      throw StoreError(
        .locked, "\(path) is being written to by another server, which has it open by another name; stop that one first", path: path)
    }
    let segment = try OpenSegment(
      file: file, path: path, firstSequence: newest.firstSequence, logID: identity.logID, keepsState: true)
    if rows.count > 1 { try cutPredecessor(&rows[rows.count - 2], of: segment.header) }
    return try recover(segment, rows: rows)
  }

  private func sizes(of firstSequences: [UInt64]) throws(StoreError) -> [SegmentTable.Row] {
    guard let oldest = firstSequences.first else {
      throw StoreError(
        .damaged,
        "\(directory.segments) holds no segment, but \(directory.identity) says that there is a log; restore its files from a copy",
        path: directory.segments)
    }
    guard oldest == 0 else {
      throw StoreError(
        .damaged, "\(directory.segment(0)) is missing: the oldest segment there is begins with record \(oldest); restore it from a copy",
        path: directory.segment(0))
    }
    var rows: [SegmentTable.Row] = []
    rows.reserveCapacity(firstSequences.count)
    for first in firstSequences {
      let bytes = try reading { () throws(FileSystemError) in try directory.fileSystem.size(directory.segment(first)) }
      rows.append(SegmentTable.Row(firstSequence: first, bytes: bytes))
    }
    return rows
  }

  /// Truncates zeros after the last record of the second newest segment. Its size must be the one in the newest header; anything but zeros
  /// after it is damage.
  private func cutPredecessor(_ row: inout SegmentTable.Row, of header: SegmentHeader) throws(StoreError) {
    let path = directory.segment(row.firstSequence)
    guard row.bytes != header.previousBytes else { return }
    guard row.bytes > header.previousBytes else {
      throw .damaged(path, offset: row.bytes, "the file ends here, but the next segment says that it has \(header.previousBytes) bytes")
    }
    let file = try preparing { () throws(FileSystemError) in try directory.fileSystem.open(path, .readWrite) }
    let bytes = row.bytes
    if let offset = try reading({ () throws(FileSystemError) in try file.firstNonZero(from: header.previousBytes, to: bytes) }) {
      throw .damaged(path, offset: offset, "unknown bytes follow the last record of the segment")
    }
    try preparing { () throws(FileSystemError) in
      try file.truncate(to: header.previousBytes)
      try file.sync()
    }
    row.bytes = header.previousBytes
  }

  private func recover(_ segment: OpenSegment, rows: [SegmentTable.Row]) throws(StoreError) -> Result {
    let file = segment.file
    let fileBytes = rows[rows.count - 1].bytes
    var walk = SegmentWalk(
      file, header: segment.header, headerEnd: segment.headerEnd, end: fileBytes, indexSpacingBytes: configuration.indexSpacingBytes)
    var invalid: (reason: String, header: CommitHeader?)?
    walking: while true {
      switch try step(&walk) {
      case .commit: continue
      case .invalid(let reason, let header):
        invalid = (reason, header)
        break walking
      case .end: break walking
      }
    }
    let end = walk.offset
    var writtenEnd = fileBytes
    var torn: TornEnd?
    if let invalid, let lastByte = try reading({ () throws(FileSystemError) in try file.lastNonZero(from: end, to: fileBytes) }) {
      // Records cannot contain a valid commit header, as only the server knows the nonce. Start after them where their length is known.
      let from = end + UInt64(invalid.header.map { CommitHeader.encodedBytes + Int($0.bytes) } ?? 1)
      let later = try reading { () throws(FileSystemError) in
        try file.firstCommitHeader(from: from, to: fileBytes, nonce: segment.header.nonce)
      }
      if let later {
        throw .damaged(
          segment.path, offset: end,
          "\(invalid.reason), but a later commit stands at offset \(later), so this one was acknowledged "
            + "(records \(walk.nextSequence) and on)")
      }
      if let newestCheckpoint, newestCheckpoint.size > walk.nextSequence {
        throw .damaged(
          segment.path, offset: end,
          "\(invalid.reason), and a signed checkpoint covers \(newestCheckpoint.size) records, so this one was acknowledged "
            + "(records \(walk.nextSequence) and on)")
      }
      torn = try TornEnd.cut(
        file, path: segment.path, from: end, to: lastByte + 1, firstSequence: segment.header.firstSequence, reason: invalid.reason,
        nextSequence: walk.nextSequence, directory: directory)
      writtenEnd = end
    }
    try rewriteLastCommit(file, walk.lastCommit)
    let tail = try reading { () throws(FileSystemError) in
      try file.readBytes(at: end - UInt64(ActiveSegment.tailBytes), count: ActiveSegment.tailBytes)
    }
    guard tail.count == ActiveSegment.tailBytes else { throw .written(segment.path, at: end) }
    var table = SegmentTable(rows)
    table.setNewestBytes(end)
    return Result(
      table: table,
      active: ActiveSegment(
        file: file, path: segment.path, header: segment.header, end: end, writtenEnd: writtenEnd, tail: tail),
      header: segment.header, headerEnd: segment.headerEnd, index: walk.index, nextSequence: walk.nextSequence,
      receivedAfter: walk.lastReceivedAt, torn: torn)
  }

  private func step(_ walk: inout SegmentWalk) throws(StoreError) -> SegmentWalk.Step {
    do throws(FileSystemError) { return try walk.next() } catch {
      throw .unusable(error, "check the disk, and that the server's user may read the data directory")
    }
  }

  /// Writes the last commit again and syncs it, before any reader sees it.
  ///
  /// The process may have died between write and sync. Or the sync failed: then Linux marks the pages clean although the disk does not have
  /// them, and a new sync reports success. Writing the bytes again makes the pages dirty, so the sync really writes them. All earlier
  /// commits were synced.
  private func rewriteLastCommit(_ file: any File, _ range: Range<UInt64>?) throws(StoreError) {
    try preparing { () throws(FileSystemError) in
      if let range { try file.writeFully(try file.readBytes(at: range.lowerBound, count: range.count), at: range.lowerBound) }
      try file.sync()
      try directory.fileSystem.syncDirectory(directory.segments)
    }
  }
}
