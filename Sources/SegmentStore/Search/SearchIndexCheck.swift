import AuditSchema

/// Finds out whether a search index rules out what it must not. Its checksums keep out accidents, not somebody who can make them anew: only
/// the records say whether it is good.
final class SearchIndexCheck {
  private let index: SearchIndex
  private var window: FilterWindow
  private var block = -1
  private var filter = UnsafeRawBufferPointer(start: nil, count: 0)
  private var isReadable = true
  /// The first record that a search for one of its values would pass over.
  private(set) var hidden: UInt64?

  init(_ index: SearchIndex) {
    self.index = index
    window = FilterWindow(index)
  }

  /// Takes the next record of the segment, in order. What cannot be read hides nothing: a search then reads the segment.
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

  /// What is wrong; `nil` when nothing is.
  var finding: String? {
    hidden.map {
      "it passes over record \($0), which it must not: it was changed, with its checksums, and filtered reads may have missed records"
    }
  }
}
