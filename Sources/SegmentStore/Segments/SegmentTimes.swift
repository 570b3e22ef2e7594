import AuditLog
import AuditSchema
import Synchronization

/// Search by time. Times ascend within a stretch. Where the clock was set back, a new segment begins a new stretch (FORMAT.md).
extension SegmentStore {
  public func received(in times: Range<UInt64>) throws(StoreError) -> [Range<UInt64>] {
    let (rows, next) = try published.withLock { (published) throws(StoreError) in
      guard !published.isClosed else { throw StoreError(.closed, "the store was closed; open it again to read") }
      return (published.table.rows, published.nextSequence)
    }
    let begins = try stretches(of: rows)
    var found: [Range<UInt64>] = []
    for (index, first) in begins.enumerated() {
      let end = index + 1 < begins.count ? begins[index + 1] : rows.count
      let isLast = end == rows.count
      let lower = try sequence(receivedAtOrAfter: times.lowerBound, in: rows[first..<end], next: isLast ? next : rows[end].firstSequence)
      let upper =
        times.upperBound == .max
        ? (isLast ? next : rows[end].firstSequence)
        : try sequence(receivedAtOrAfter: times.upperBound, in: rows[first..<end], next: isLast ? next : rows[end].firstSequence)
      if lower < upper { found.append(lower..<upper) }
    }
    return found
  }

  /// The row indexes where stretches begin, ascending. Each header names the first segment of its stretch, so only one segment per stretch
  /// is opened.
  private func stretches(of rows: [SegmentTable.Row]) throws(StoreError) -> [Int] {
    let (known, version) = published.withLock { ($0.stretches, $0.stretchVersion) }
    if let known { return known }
    var begins: [Int] = []
    var index = rows.count - 1
    while true {
      let segment = try segment(rows[index].firstSequence)
      let begin = segment.header.stretch
      let row = rows.partition(before: begin)
      guard row <= index, rows[row].firstSequence == begin else {
        throw .damaged(segment.path, offset: 0, "its header says that a time stretch begins at record \(begin), but no segment does")
      }
      begins.append(row)
      guard row > 0 else { break }
      index = row - 1
    }
    begins.reverse()
    published.withLock { published in
      if published.stretchVersion == version { published.stretches = begins }
    }
    return begins
  }

  /// First sequence in a stretch that was received at or after `time`.
  ///
  /// - Parameters:
  ///   - rows: the segments of one stretch, at least one.
  ///   - next: the sequence after them.
  private func sequence(
    receivedAtOrAfter time: UInt64, in rows: ArraySlice<SegmentTable.Row>, next: UInt64
  ) throws(StoreError) -> UInt64 {
    // Finds the last segment whose predecessors in the stretch are all older than `time`: a header holds the last time before its segment.
    var low = rows.startIndex
    var high = rows.endIndex - 1
    while low < high {
      let middle = (low + high + 1) / 2
      if try segment(rows[middle].firstSequence).header.previousReceivedAt < time { low = middle } else { high = middle - 1 }
    }
    let first = rows[low].firstSequence
    guard first < next, let extent = try extent(of: first) else { return next }
    let segment = try segment(first)
    let known = try index(of: segment, extent).place(receivedBefore: time)
    return min(next, try seek(in: segment, extent, from: known) { $0.receivedAt >= time }?.sequence ?? extent.nextSequence)
  }
}

extension [SegmentTable.Row] {
  /// Index of the first row whose first sequence is not below `sequence`; the last row if there is none.
  fileprivate func partition(before sequence: UInt64) -> Int {
    var low = 0
    var high = count - 1
    while low < high {
      let middle = (low + high) / 2
      if self[middle].firstSequence < sequence { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
