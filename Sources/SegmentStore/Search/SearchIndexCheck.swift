import AuditSchema

/// Checks a search index against the records of its segment. The index checksums detect accidents only: an attacker can recompute them.
final class SearchIndexCheck {
  private let index: SearchIndex
  private var window: FilterWindow
  private var block = -1
  private var filter = UnsafeRawBufferPointer(start: nil, count: 0)
  private var isReadable = true
  /// The first record with a value that its filter denies.
  private(set) var hidden: UInt64?

  init(_ index: SearchIndex) {
    self.index = index
    window = FilterWindow(index)
  }

  /// Adds the next record of the segment, in order. An unreadable filter hides nothing, as a search then reads the segment.
  func add(_ record: UnsafeRawBufferPointer, _ framing: RecordFraming) {
    guard hidden == nil, isReadable else { return }
    while block + 1 < index.blocks.count, index.blocks[block + 1].sequence <= framing.sequence {
      block += 1
      do { filter = try window.filter(of: block, in: index.blocks, backwards: false) } catch { return isReadable = false }
    }
    SearchTerms.forEach(of: UnsafeRawBufferPointer(rebasing: record[framing.contentStart..<framing.totalBytes])) { hash in
      if !BloomFilter.mayHold(hash, filter) { hidden = framing.sequence }
    }
  }

  /// The problem as a sentence; `nil` if there is none.
  var finding: String? {
    hidden.map {
      "it wrongly excludes record \($0): it was changed together with its checksums, and filtered reads may have missed records"
    }
  }
}
