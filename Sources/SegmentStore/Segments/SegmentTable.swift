/// All segments in order, 16 bytes of memory each.
struct SegmentTable: Sendable {
  struct Row: Sendable {
    var firstSequence: UInt64
    /// File size; for the newest segment, the offset after the last durable commit.
    var bytes: UInt64
  }

  private(set) var rows: [Row]

  init(_ rows: [Row]) { self.rows = rows }

  var newest: Row { rows[rows.count - 1] }

  /// Row index of the segment that holds `sequence`, or will hold it as the next record.
  func index(of sequence: UInt64) -> Int {
    var low = 0
    var high = rows.count
    while low < high {
      let middle = (low + high) / 2
      if rows[middle].firstSequence <= sequence { low = middle + 1 } else { high = middle }
    }
    return max(0, low - 1)
  }

  mutating func setNewestBytes(_ bytes: UInt64) { rows[rows.count - 1].bytes = bytes }
  mutating func append(_ row: Row) { rows.append(row) }
}
