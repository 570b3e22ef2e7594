import AuditLog
import AuditSchema

/// Checks bytes read from a segment, up to the last whole record among them.
struct CheckedStretch {
  let segment: OpenSegment
  /// File offset of the bytes.
  let offset: UInt64
  /// Offset where the content of the segment ends.
  let segmentBytes: UInt64
  /// The sequence that the next record must have.
  private(set) var nextSequence: UInt64
  /// Number of whole records checked.
  private(set) var records = 0
  /// Bytes from the start to the end of the last whole record.
  private(set) var bytes = 0

  init(segment: OpenSegment, offset: UInt64, segmentBytes: UInt64, nextSequence: UInt64) {
    self.segment = segment
    self.offset = offset
    self.segmentBytes = segmentBytes
    self.nextSequence = nextSequence
  }

  /// - Parameters:
  ///   - isFileEnd: the file ended at the end of these bytes.
  ///   - end: check records before this sequence.
  /// - Throws: `.damaged` when the first record is not what was stored. Damage after whole records only ends the check: the next read
  ///   begins there, so every record before the damage can be read, whatever the buffer's size.
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
        throw .damaged(segment.path, offset: place, "the file ends before record \(nextSequence)")
      }
      // If not, the buffer was too small for the rest.
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
        throw .damaged(segment.path, offset: place, "the record is not number \(nextSequence), or is incomplete")
      }
      guard framing.totalBytes <= rest.count else { return }
      guard framing.isIntact(in: rest) else {
        throw .damaged(segment.path, offset: place, "the checksum of record \(nextSequence) does not match its bytes")
      }
      at += framing.totalBytes
      bytes = at
      records += 1
      nextSequence += 1
    }
  }
}
