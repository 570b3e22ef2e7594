/// Which segments there are: 16 bytes of memory for each.
struct SegmentTable: Sendable {
  struct Row: Sendable {
    var firstSequence: UInt64
    /// Size of the file; of the newest segment, the durable end in it.
    var bytes: UInt64
  }

  private(set) var rows: [Row]

  init(_ rows: [Row]) { self.rows = rows }

  var newest: Row { rows[rows.count - 1] }

  /// Index of the segment that holds `sequence`, or would hold it as the next record.
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
