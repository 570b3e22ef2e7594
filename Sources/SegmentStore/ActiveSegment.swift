import AuditLog
import AuditSchema

/// The newest segment, as its writer sees it.
struct ActiveSegment: Sendable {
  let file: any File
  let path: String
  let firstSequence: UInt64
  let nonce: [UInt8]
  /// Where the next commit goes. Everything before it is durable.
  private(set) var end: UInt64
  /// Up to here the file is written; all of it from `end` on are zeros.
  private(set) var writtenEnd: UInt64
  /// Whether a write may have left something other than zeros behind `end`.
  private var isLittered = false

  init(file: any File, path: String, firstSequence: UInt64, nonce: [UInt8], end: UInt64, writtenEnd: UInt64) {
    self.file = file
    self.path = path
    self.firstSequence = firstSequence
    self.nonce = nonce
    self.end = end
    self.writtenEnd = writtenEnd
  }

  /// Writes a commit and makes it durable.
  ///
  /// - Parameter zeros: what to write behind the commit, as many times as needed, when it brings the file to a new size.
  mutating func append(
    _ mark: SegmentMark, _ records: UnsafeRawBufferPointer, zeros: [UInt8], zeroBytes: Int, syncDurations: DurationHistogram
  ) throws(StoreError) {
    try removeLitter()
    let newEnd = end + UInt64(SegmentMark.encodedBytes + records.count)
    var zerosLeft = newEnd > writtenEnd ? zeroBytes : 0
    let result = withUnsafeTemporaryAllocation(byteCount: SegmentMark.encodedBytes, alignment: 8) { encodedMark in
      mark.encode(nonce: nonce, offset: end, into: encodedMark)
      return zeros.withUnsafeBytes { zeros in
        var parts = [UnsafeRawBufferPointer(encodedMark), records]
        while zerosLeft > 0 {
          let part = UnsafeRawBufferPointer(rebasing: zeros[..<min(zerosLeft, zeros.count)])
          parts.append(part)
          zerosLeft -= part.count
        }
        return file.writeFully(parts, at: end, required: SegmentMark.encodedBytes + records.count)
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
