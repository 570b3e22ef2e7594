import AuditLog
import AuditSchema

/// The newest segment, as its writer sees it.
struct ActiveSegment: Sendable {
  let file: any File
  let path: String
  let firstSequence: UInt64
  let nonce: [UInt8]
  /// The segment's header, without its state.
  let header: SegmentHeader
  /// Where the next commit goes. Everything before it is durable.
  private(set) var end: UInt64
  /// Up to here the file is written; all of it from `end` on are zeros.
  private(set) var writtenEnd: UInt64
  /// Whether a write may have left something other than zeros behind `end`.
  private var isLittered = false
  /// The 16 bytes before `end`, as they were when `end` came to be there.
  private var tail: SIMD16<UInt8>

  /// - Parameters:
  ///   - file: whose lock is held.
  ///   - tail: the file's bytes before `end`, the last 16 of them at the least.
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
  /// How many of the bytes behind `end` are looked at: a commit header begins with something other than zeros.
  private static let aheadBytes = 8

  /// Looks whether the file ends as it was left: the last bytes before `end`, and only zeros behind it. One `pread` of 24 bytes.
  ///
  /// Locks keep other servers out, on this machine. This notices who does not know of locks, or does not see them, before a commit is put over
  /// theirs or behind what they have done to ours.
  ///
  /// - Throws: `.failed`.
  func confirmEnd() throws(StoreError) {
    guard !isLittered else { return }
    let zeros = Int(min(UInt64(Self.aheadBytes), writtenEnd - end))
    let expected = Self.tailBytes + zeros
    let start = end - UInt64(Self.tailBytes)
    let isAsLeft: Bool
    do throws(FileSystemError) {
      var found = SIMD32<UInt8>()
      let count = try withUnsafeMutableBytes(of: &found) { (bytes) throws(FileSystemError) in
        let bytes = UnsafeMutableRawBufferPointer(rebasing: bytes[..<(Self.tailBytes + Self.aheadBytes)])
        // One byte more than there should be is one too many; a short read is continued.
        let count = try file.read(into: bytes, at: start)
        guard count < expected else { return count }
        let rest = UnsafeMutableRawBufferPointer(rebasing: bytes[count..<expected])
        return count + (try file.readFully(into: rest, at: start + UInt64(count)))
      }
      isAsLeft = count == expected && found.lowHalf == tail && found.highHalf == SIMD16()
    } catch { throw .failed(named(error)) }
    guard isAsLeft else { throw .written(path, at: end) }
  }

  /// To be called when the last record was changed on purpose.
  mutating func rereadTail() throws(StoreError) {
    let end = end
    let found = try reading { () throws(FileSystemError) in
      try file.readBytes(at: end - UInt64(Self.tailBytes), count: Self.tailBytes)
    }
    guard found.count == Self.tailBytes else { throw .written(path, at: end) }
    tail = SIMD16(found)
  }

  /// Writes a commit and makes it durable.
  ///
  /// - Parameter zeros: what to write behind the commit, as many times as needed, when it brings the file to a new size.
  mutating func append(
    _ commitHeader: CommitHeader, _ records: UnsafeRawBufferPointer, zeros: [UInt8], zeroBytes: Int, syncDurations: DurationHistogram
  ) throws(StoreError) {
    try removeLitter()
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
      isLittered = true
      guard error.isNoRoom else { throw .failed(named(error)) }
      // Gives back what the half-written commit took; where that fails, the next append tries before it writes.
      try? removeLitter()
      throw .full(named(error))
    }
    let began = ContinuousClock.now
    do throws(FileSystemError) { try file.syncData() } catch { throw .failed(named(error)) }
    syncDurations.observe(ContinuousClock.now - began)
    writtenEnd = max(writtenEnd, end + UInt64(result.written))
    end = newEnd
    // A record is longer than that (RecordFraming).
    tail = records.loadUnaligned(fromByteOffset: records.count - Self.tailBytes, as: SIMD16<UInt8>.self)
  }

  /// After a commit that found no room: what it left must not stand behind the end of a later, smaller one.
  private mutating func removeLitter() throws(StoreError) {
    if isLittered { try cut() }
  }

  /// Cuts what is behind the last commit, durably: the file is what its segment holds.
  mutating func seal() throws(StoreError) {
    try cut()
    do throws(FileSystemError) { try file.sync() } catch { throw .failed(named(error)) }
  }

  /// Cuts what is behind the last commit. There may be no room even for that, which leaves the commits as they are.
  private mutating func cut() throws(StoreError) {
    do throws(FileSystemError) { try file.truncate(to: end) } catch {
      throw error.isNoRoom ? .full(named(error)) : .failed(named(error))
    }
    writtenEnd = end
    isLittered = false
  }

  /// The error with the segment's name: the file was opened under the one that it had while it was made.
  private func named(_ error: FileSystemError) -> FileSystemError { FileSystemError(error.call, path, error.number) }
}
