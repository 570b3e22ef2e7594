import AuditLog
import AuditSchema

/// The newest segment, as the writer uses it.
struct ActiveSegment: Sendable {
  let file: any File
  let path: String
  let firstSequence: UInt64
  let nonce: [UInt8]
  /// The segment's header, without its state.
  let header: SegmentHeader
  /// Offset of the next commit. Everything before it is durable.
  private(set) var end: UInt64
  /// File size. All bytes from `end` to here are zeros.
  private(set) var writtenEnd: UInt64
  /// Whether a failed write may have left bytes other than zeros after `end`.
  private var hasPartialWrite = false
  /// The last 16 bytes before `end`, as this process wrote or read them.
  private var tail: SIMD16<UInt8>

  /// - Parameters:
  ///   - file: locked by this process.
  ///   - tail: at least the last 16 bytes before `end`.
  init(file: any File, path: String, header: SegmentHeader, end: UInt64, writtenEnd: UInt64, tail: [UInt8]) {
    precondition(tail.count >= Self.tailBytes, "a segment begins with a header, which is longer")
    self.tail = SIMD16(tail.suffix(Self.tailBytes))
    self.file = file
    self.path = path
    firstSequence = header.firstSequence
    nonce = header.nonce
    var header = header
    header.state = []
    self.header = header
    self.end = end
    self.writtenEnd = writtenEnd
  }

  static let tailBytes = 16
  /// Bytes after `end` that are checked for zeros. 8 are enough: a commit header does not begin with a zero.
  private static let aheadBytes = 8

  /// Checks that nobody else wrote at the end: the bytes before `end` are unchanged and zeros follow. One `pread` of 24 bytes.
  ///
  /// Locks keep out other servers on this machine. This check catches a writer that ignores locks, or cannot see them, before a commit
  /// overwrites its bytes or follows changed ones.
  ///
  /// - Throws: `.failed`.
  func confirmEnd() throws(StoreError) {
    guard !hasPartialWrite else { return }
    let zeros = Int(min(UInt64(Self.aheadBytes), writtenEnd - end))
    let expected = Self.tailBytes + zeros
    let start = end - UInt64(Self.tailBytes)
    let isAsLeft: Bool
    do throws(FileSystemError) {
      var found = SIMD32<UInt8>()
      let count = try withUnsafeMutableBytes(of: &found) { (bytes) throws(FileSystemError) in
        let bytes = UnsafeMutableRawBufferPointer(rebasing: bytes[..<(Self.tailBytes + Self.aheadBytes)])
        // The read asks for more than expected, so that a longer file shows. A short read is continued.
        let count = try file.read(into: bytes, at: start)
        guard count < expected else { return count }
        let rest = UnsafeMutableRawBufferPointer(rebasing: bytes[count..<expected])
        return count + (try file.readFully(into: rest, at: start + UInt64(count)))
      }
      isAsLeft = count == expected && found.lowHalf == tail && found.highHalf == SIMD16()
    } catch { throw .failed(named(error)) }
    guard isAsLeft else { throw .written(path, at: end) }
  }

  /// Reads the tail again. Call it after an erasure changed the last record.
  mutating func rereadTail() throws(StoreError) {
    let end = end
    let found = try reading { () throws(FileSystemError) in
      try file.readBytes(at: end - UInt64(Self.tailBytes), count: Self.tailBytes)
    }
    guard found.count == Self.tailBytes else { throw .written(path, at: end) }
    tail = SIMD16(found)
  }

  /// Writes a commit and syncs it.
  ///
  /// - Parameters:
  ///   - zeros: a buffer of zeros, written as often as needed.
  ///   - zeroBytes: how many zeros follow the commit if it extends the file.
  /// - Throws: `.full` when nothing was stored and a later append may succeed; `.failed` when appending must end.
  mutating func append(
    _ commitHeader: CommitHeader, _ records: UnsafeRawBufferPointer, zeros: [UInt8], zeroBytes: Int, syncDurations: DurationHistogram
  ) throws(StoreError) {
    try truncatePartialWrite()
    try confirmEnd()
    let newEnd = end + UInt64(CommitHeader.encodedBytes + records.count)
    var zerosLeft = newEnd > writtenEnd ? zeroBytes : 0
    let result = withUnsafeTemporaryAllocation(byteCount: CommitHeader.encodedBytes, alignment: 8) { encodedHeader in
      commitHeader.encode(nonce: nonce, offset: end, into: encodedHeader)
      return zeros.withUnsafeBytes { zeros in
        var parts = [UnsafeRawBufferPointer(encodedHeader), records]
        while zerosLeft > 0 {
          let part = UnsafeRawBufferPointer(rebasing: zeros[..<min(zerosLeft, zeros.count)])
          parts.append(part)
          zerosLeft -= part.count
        }
        return file.writeFully(parts, at: end, required: CommitHeader.encodedBytes + records.count)
      }
    }
    if let error = result.error {
      hasPartialWrite = true
      guard error.isNoRoom else { throw .failed(named(error)) }
      // Frees the space of the partial commit. If that fails, the next append tries again before it writes.
      try? truncatePartialWrite()
      throw .full(named(error))
    }
    let began = ContinuousClock.now
    do throws(FileSystemError) { try file.syncData() } catch { throw .failed(named(error)) }
    syncDurations.observe(ContinuousClock.now - began)
    writtenEnd = max(writtenEnd, end + UInt64(result.written))
    end = newEnd
    // A record is longer than `tailBytes` (RecordFraming).
    tail = records.loadUnaligned(fromByteOffset: records.count - Self.tailBytes, as: SIMD16<UInt8>.self)
  }

  /// A partial commit must be gone before a smaller commit is written over its beginning.
  private mutating func truncatePartialWrite() throws(StoreError) {
    if hasPartialWrite { try truncateToEnd() }
  }

  /// Truncates the file to its last commit and syncs it.
  mutating func seal() throws(StoreError) {
    try truncateToEnd()
    do throws(FileSystemError) { try file.sync() } catch { throw .failed(named(error)) }
  }

  /// Truncates the file to its last commit. A full disk can refuse this too; the commits stay intact.
  private mutating func truncateToEnd() throws(StoreError) {
    do throws(FileSystemError) { try file.truncate(to: end) } catch {
      throw error.isNoRoom ? .full(named(error)) : .failed(named(error))
    }
    writtenEnd = end
    hasPartialWrite = false
  }

  /// Replaces the path in the error: the file was opened under its temporary name.
  private func named(_ error: FileSystemError) -> FileSystemError { FileSystemError(error.call, path, error.number) }
}
