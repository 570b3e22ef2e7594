import AuditLog
import AuditSchema
import Logging
import Synchronization

/// Reads. Every record is checked before it is returned.
extension SegmentStore {
  /// The readable part of one segment, at one moment.
  struct SegmentExtent {
    var firstSequence: UInt64
    /// Offset after the last durable commit.
    var bytes: UInt64
    /// The sequence after the segment's last record.
    var nextSequence: UInt64
    var isSealed: Bool
  }

  /// The segment that holds `sequence`; `nil` when the log has no such record yet.
  func extent(of sequence: UInt64) throws(StoreError) -> SegmentExtent? {
    try published.withLock { (published) throws(StoreError) in
      guard !published.isClosed else { throw StoreError(.closed, "the store was closed; open it again to read") }
      guard sequence < published.nextSequence else { return nil }
      let index = published.table.index(of: sequence)
      let row = published.table.rows[index]
      let isSealed = index + 1 < published.table.rows.count
      return SegmentExtent(
        firstSequence: row.firstSequence, bytes: row.bytes,
        nextSequence: isSealed ? published.table.rows[index + 1].firstSequence : published.nextSequence, isSealed: isSealed)
    }
  }

  /// The newest segment; `nil` when it has no record.
  func newestExtent() throws(StoreError) -> SegmentExtent? {
    let next = published.withLock { $0.nextSequence }
    guard next > 0, let extent = try extent(of: next - 1), !extent.isSealed else { return nil }
    return extent
  }

  /// The sealed segment at `index`, counted from the oldest, and the sequence after its last record.
  func sealedSegment(_ index: Int) -> (row: SegmentTable.Row, next: UInt64)? {
    published.withLock { published in
      guard !published.isClosed, index + 1 < published.table.rows.count else { return nil }
      return (published.table.rows[index], published.table.rows[index + 1].firstSequence)
    }
  }

  func segment(_ firstSequence: UInt64) throws(StoreError) -> OpenSegment {
    if let open = published.withLock({ $0.files.value(firstSequence) }) { return open }
    let path = directory.segment(firstSequence)
    let file = try reading { () throws(FileSystemError) in try directory.fileSystem.open(path, .read) }
    let open = try OpenSegment(file: file, path: path, firstSequence: firstSequence, logID: identity.logID)
    published.withLock { published in
      if !published.isClosed { published.files.insert(open, for: firstSequence) }
    }
    return open
  }

  public func read(
    from position: ReadPosition, before end: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StoreError) -> ReadResult {
    do throws(StoreError) { return try readOnce(from: position, before: end, into: buffer) } catch {
      guard error.code == .damaged else { throw error }
      // A record looks damaged while it is being erased. Wait for the erasure and read again.
      erasures.withLock { _ in }
      return try readOnce(from: position, before: end, into: buffer)
    }
  }

  private func readOnce(
    from position: ReadPosition, before end: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StoreError) -> ReadResult {
    guard position.sequence < end, let extent = try extent(of: position.sequence) else { return .end }
    let segment = try segment(extent.firstSequence)
    var offset = position.offset
    if position.segment != extent.firstSequence || offset < segment.headerEnd {
      offset = try self.offset(of: position.sequence, in: segment, extent)
    }
    let wanted = Int(min(UInt64(buffer.count), extent.bytes > offset ? extent.bytes - offset : 0))
    let count = try reading { () throws(FileSystemError) in
      try segment.file.readFully(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]), at: offset)
    }
    var stretch = CheckedStretch(segment: segment, offset: offset, segmentBytes: extent.bytes, nextSequence: position.sequence)
    try stretch.check(
      UnsafeRawBufferPointer(rebasing: buffer[..<count]), isFileEnd: count < wanted, before: min(end, extent.nextSequence))
    guard stretch.records > 0 else { return .bufferTooSmall(neededBytes: try neededBytes(segment, at: offset, extent)) }
    let after = offset + UInt64(stretch.bytes)
    guard extent.isSealed, stretch.nextSequence == extent.nextSequence else {
      return .records(
        range: 0..<stretch.bytes, count: stretch.records,
        next: ReadPosition(sequence: stretch.nextSequence, segment: extent.firstSequence, offset: after))
    }
    guard after == extent.bytes else {
      throw .damaged(
        segment.path, offset: after, "\(extent.bytes - after) bytes follow the last record before segment \(extent.nextSequence)")
    }
    return .records(range: 0..<stretch.bytes, count: stretch.records, next: ReadPosition(sequence: stretch.nextSequence))
  }

  /// Buffer size needed for the record at `offset`, with the commit header before it if there is one.
  private func neededBytes(_ segment: OpenSegment, at offset: UInt64, _ extent: SegmentExtent) throws(StoreError) -> Int {
    let wanted = Int(min(UInt64(CommitHeader.encodedBytes + RecordFraming.headBytes), extent.bytes - offset))
    let start = try reading { () throws(FileSystemError) in try segment.file.readBytes(at: offset, count: wanted) }
    let headerBytes = start.first == CommitHeader.tag ? CommitHeader.encodedBytes : 0
    guard let framing = start.dropFirst(headerBytes).withUnsafeBytes({ RecordFraming(head: $0) }),
      UInt64(headerBytes + framing.totalBytes) <= extent.bytes - offset
    else { throw .damaged(segment.path, offset: offset, "there is no whole record") }
    return headerBytes + framing.totalBytes
  }

  /// Offset of the record with `sequence`; for the first record of a commit, offset of the commit header.
  private func offset(of sequence: UInt64, in segment: OpenSegment, _ extent: SegmentExtent) throws(StoreError) -> UInt64 {
    if sequence == extent.firstSequence { return segment.headerEnd }
    let known = try index(of: segment, extent).place(atOrBefore: sequence)
    return try seek(in: segment, extent, from: known) { $0.sequence >= sequence }?.offset ?? extent.bytes
  }

  /// Offset and framing of a record that must exist.
  func locate(_ sequence: UInt64) throws(StoreError) -> (segment: OpenSegment, offset: UInt64, framing: RecordFraming) {
    guard let extent = try extent(of: sequence) else { throw StoreError(.invalid, "there is no record \(sequence)") }
    let segment = try segment(extent.firstSequence)
    var offset = try self.offset(of: sequence, in: segment, extent)
    var head: [UInt8] = []
    for _ in 0..<2 {
      head = try reading { [offset] () throws(FileSystemError) in try segment.file.readBytes(at: offset, count: RecordFraming.headBytes) }
      guard head.first == CommitHeader.tag else { break }
      offset += UInt64(CommitHeader.encodedBytes)
    }
    guard let framing = head.withUnsafeBytes({ RecordFraming(head: $0) }), framing.sequence == sequence else {
      throw .damaged(segment.path, offset: offset, "record \(sequence) does not begin here")
    }
    return (segment, offset, framing)
  }

  /// The first record at or after a place in the index that `isWanted`. Checks the sequences on the way, not the checksums.
  func seek(
    in segment: OpenSegment, _ extent: SegmentExtent, from known: SparseIndex.Place?, until isWanted: (RecordFraming) -> Bool
  ) throws(StoreError) -> (sequence: UInt64, offset: UInt64)? {
    var window = SegmentWindow(segment.file, end: extent.bytes)
    var offset = known?.offset ?? segment.headerEnd
    var start = offset
    var sequence = known?.sequence ?? extent.firstSequence
    while offset < extent.bytes {
      let bytes = try view(&window, at: offset, needed: RecordFraming.headBytes)
      if bytes.first == CommitHeader.tag {
        offset += UInt64(CommitHeader.encodedBytes)
        continue
      }
      guard let framing = RecordFraming(head: bytes), framing.sequence == sequence,
        UInt64(framing.totalBytes) <= extent.bytes - offset
      else {
        throw .damaged(segment.path, offset: offset, "record \(sequence) does not begin here")
      }
      if isWanted(framing) { return (sequence, start) }
      offset += UInt64(framing.totalBytes)
      start = offset
      sequence += 1
    }
    // A segment may be missing in between: the next existing one is not the next one of the log then.
    guard sequence == extent.nextSequence else {
      throw .damaged(
        segment.path, offset: offset, "the segment ends before record \(sequence); the next one begins with \(extent.nextSequence)")
    }
    return nil
  }

  private func view(_ window: inout SegmentWindow, at offset: UInt64, needed: Int) throws(StoreError) -> UnsafeRawBufferPointer {
    do throws(FileSystemError) { return try window.bytes(at: offset, needed: needed) } catch {
      throw .unusable(error, "check the disk, and that the server's user may read the data directory")
    }
  }

  // MARK: Index

  func index(of segment: OpenSegment, _ extent: SegmentExtent) throws(StoreError) -> SparseIndex {
    let first = extent.firstSequence
    let known = published.withLock { published in
      published.table.newest.firstSequence == first ? published.index : published.indexes.value(first)
    }
    if let known { return known }
    let subject = SparseIndex.Subject(firstSequence: first, bytes: extent.bytes, nonce: segment.header.nonce)
    // A place takes 24 bytes, so an index is never larger than its segment.
    let saved = try? directory.read(directory.index(first), limitBytes: extent.bytes)
    let index: SparseIndex
    if let saved, let loaded = SparseIndex(encoded: saved, of: subject, spacingBytes: configuration.indexSpacingBytes) {
      index = loaded
    } else {
      index = try rebuildIndex(of: segment, subject)
    }
    published.withLock { published in
      if !published.isClosed { published.indexes.insert(index, for: first) }
    }
    return index
  }

  /// Builds the index by reading the whole segment. At damage the index ends: records before it can still be found, and reading on reports
  /// the damage.
  private func rebuildIndex(of segment: OpenSegment, _ subject: SparseIndex.Subject) throws(StoreError) -> SparseIndex {
    var walk = SegmentWalk(
      segment.file, header: segment.header, headerEnd: segment.headerEnd, end: subject.bytes,
      indexSpacingBytes: configuration.indexSpacingBytes)
    while true {
      let step: SegmentWalk.Step
      do throws(FileSystemError) { step = try walk.next() } catch {
        throw .unusable(error, "check the disk, and that the server's user may read the data directory")
      }
      switch step {
      case .commit: continue
      case .invalid: return walk.index
      case .end:
        saveIndex(walk.index, subject)
        return walk.index
      }
    }
  }

  /// Saves an index. A failure is only logged, as the index can be rebuilt. No sync is needed: the checksum detects a lost write.
  func saveIndex(_ index: SparseIndex, _ subject: SparseIndex.Subject) {
    let path = directory.index(subject.firstSequence)
    do throws(FileSystemError) {
      let file = try directory.fileSystem.open(path + DataDirectory.unfinished, .createOrEmpty)
      try file.writeFully(index.encoded(of: subject), at: 0)
      try directory.fileSystem.rename(path + DataDirectory.unfinished, to: path)
    } catch {
      logger.notice("a segment's index could not be saved; it will be rebuilt when it is needed", metadata: ["reason": "\(error)"])
    }
  }
}
