import AuditLog
import AuditSchema

/// Checks a stretch of a segment that was read into memory, up to the last record that is whole in it.
struct CheckedStretch {
  let segment: OpenSegment
  /// Where in the file the stretch begins.
  let offset: UInt64
  /// Where the segment's content ends.
  let segmentBytes: UInt64
  /// The sequence that the next record must have.
  private(set) var nextSequence: UInt64
  /// Number of whole records.
  private(set) var records = 0
  /// Bytes up to the end of the last whole record.
  private(set) var bytes = 0

  init(segment: OpenSegment, offset: UInt64, segmentBytes: UInt64, nextSequence: UInt64) {
    self.segment = segment
    self.offset = offset
    self.segmentBytes = segmentBytes
    self.nextSequence = nextSequence
  }

  /// - Parameters:
  ///   - isFileEnd: the file had no more than these bytes.
  ///   - end: the sequence to stop before.
  /// - Throws: `.damaged` when what stands at the very start is not what was stored. Damage that follows whole records ends the stretch:
  ///   the next one begins with it, so that everything before it can be read whatever the size of the buffer.
  mutating func check(_ stretch: UnsafeRawBufferPointer, isFileEnd: Bool, before end: UInt64) throws(StoreError) {
    do throws(StoreError) { try checkAll(stretch, isFileEnd: isFileEnd, before: end) } catch {
      if records == 0 { throw error }
    }
  }

  private mutating func checkAll(_ stretch: UnsafeRawBufferPointer, isFileEnd: Bool, before end: UInt64) throws(StoreError) {
    var at = 0
    while nextSequence < end {
      let place = offset + UInt64(at)
      let left = place < segmentBytes ? segmentBytes - place : 0
      let rest = UnsafeRawBufferPointer(rebasing: stretch[at...])
      guard left > 0, !(isFileEnd && rest.isEmpty) else {
        throw .damaged(segment.path, offset: place, "the file ends where record \(nextSequence) should begin")
      }
      // Otherwise the buffer had no room for more.
      let isAll = isFileEnd || UInt64(rest.count) >= left
      guard let first = rest.first else { return }
      if first == CommitHeader.tag {
        if rest.count < CommitHeader.encodedBytes, !isAll { return }
        guard let commitHeader = CommitHeader(rest, nonce: segment.header.nonce, offset: place), commitHeader.firstSequence == nextSequence,
          UInt64(commitHeader.bytes) <= left - UInt64(CommitHeader.encodedBytes)
        else { throw .damaged(segment.path, offset: place, "the commit header before record \(nextSequence) is not intact") }
        at += CommitHeader.encodedBytes
        continue
      }
      guard let framing = RecordFraming(head: rest) else {
        if rest.count < RecordFraming.headBytes, !isAll { return }
        throw .damaged(segment.path, offset: place, "record \(nextSequence) does not begin where it should")
      }
      guard framing.sequence == nextSequence, UInt64(framing.totalBytes) <= left, !isFileEnd || framing.totalBytes <= rest.count else {
        throw .damaged(segment.path, offset: place, "the record is not number \(nextSequence), or not whole")
      }
      guard framing.totalBytes <= rest.count else { return }
      guard framing.isIntact(in: rest) else {
        throw .damaged(segment.path, offset: place, "the checksum of record \(nextSequence) does not fit its bytes")
      }
      at += framing.totalBytes
      bytes = at
      records += 1
      nextSequence += 1
    }
  }
}
