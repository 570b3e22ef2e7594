import AuditLog
import AuditSchema
import Logging
import Synchronization

/// Search: blocks that a search index excludes are not read. The index only saves reads; every record that is read is checked as usual.
extension SegmentStore {
  public func candidates(in range: Range<UInt64>, for terms: SearchTerms, backwards: Bool) throws(StoreError) -> CandidateStretch {
    let everything = CandidateStretch(start: ReadPosition(sequence: range.lowerBound), end: range.upperBound)
    guard !range.isEmpty, !terms.isEmpty, let extent = try extent(of: backwards ? range.upperBound - 1 : range.lowerBound) else {
      return everything
    }
    // Each call covers one segment.
    let sequences = range.clamped(to: extent.firstSequence..<extent.nextSequence)
    let all = CandidateStretch(start: ReadPosition(sequence: sequences.lowerBound), end: sequences.upperBound)
    guard extent.isSealed else { return newestCandidates(in: sequences, of: extent, for: terms, backwards: backwards) }
    guard let index = try? searchIndex(of: extent) else {
      background.indexer?.request(extent.firstSequence)
      return all
    }
    let found: Range<Int>?
    do { found = try index.candidates(in: sequences, for: terms, backwards: backwards) } catch {
      discardSearchIndex(extent.firstSequence, reason: "\((error as? SearchIndex.Damage)?.reason ?? "\(error)")")
      return all
    }
    return stretch(
      found, of: index.blocks, end: ReadPosition(sequence: extent.nextSequence, segment: extent.firstSequence, offset: extent.bytes),
      sequences, backwards: backwards)
  }

  /// - Parameter end: position after the last block.
  private func stretch(
    _ found: Range<Int>?, of blocks: [SearchIndex.Block], end: ReadPosition, _ sequences: Range<UInt64>, backwards: Bool
  ) -> CandidateStretch {
    guard let found else {
      let passed = backwards ? sequences.lowerBound : sequences.upperBound
      return CandidateStretch(start: ReadPosition(sequence: passed), end: passed)
    }
    let first = blocks[found.lowerBound]
    let after = found.upperBound < blocks.count ? blocks[found.upperBound] : nil
    return CandidateStretch(
      start: first.sequence >= sequences.lowerBound
        ? ReadPosition(sequence: first.sequence, segment: end.segment, offset: first.offset)
        : ReadPosition(sequence: sequences.lowerBound),
      end: min(sequences.upperBound, after?.sequence ?? end.sequence), bytes: (after?.offset ?? end.offset) - first.offset)
  }

  /// Records of the newest segment that are in no block yet are read. If there are many, the indexer adds them in the background.
  private func newestCandidates(
    in sequences: Range<UInt64>, of extent: SegmentExtent, for terms: SearchTerms, backwards: Bool
  ) -> CandidateStretch {
    let known = published.withLock { $0.newestSearchIndex }
    let index = known?.firstSequence == extent.firstSequence ? known! : NewestSearchIndex(extent.firstSequence)
    if extent.bytes - index.end.offset > 4 * configuration.searchBlockBytes { background.indexer?.wantNewest() }
    let indexed = sequences.clamped(to: index.firstSequence..<max(index.firstSequence, index.end.sequence))
    // A backward search meets the records without a block first.
    guard !indexed.isEmpty, !backwards || sequences.upperBound <= index.end.sequence else {
      let rest = max(sequences.lowerBound, min(index.end.sequence, sequences.upperBound))
      return CandidateStretch(start: ReadPosition(sequence: indexed.isEmpty ? sequences.lowerBound : rest), end: sequences.upperBound)
    }
    let found = index.candidates(in: indexed, for: terms, backwards: backwards)
    return stretch(found, of: index.blocks, end: index.end, indexed, backwards: backwards)
  }

  /// Makes the index of the newest segment available to searches.
  ///
  /// - Returns: `false` when a record was erased during the build: the index may contain erased values.
  func publish(_ index: NewestSearchIndex, erasures: UInt64) -> Bool {
    self.erasures.withLock { state in
      guard state.count == erasures else { return false }
      published.withLock { published in
        if !published.isClosed { published.newestSearchIndex = index }
      }
      return true
    }
  }

  /// The search index of a sealed segment; `nil` if there is no valid one.
  func searchIndex(ofSealed firstSequence: UInt64) throws(StoreError) -> SearchIndex? {
    guard let extent = try extent(of: firstSequence), extent.isSealed else { return nil }
    return try searchIndex(of: extent)
  }

  private func searchIndex(of extent: SegmentExtent) throws(StoreError) -> SearchIndex? {
    let first = extent.firstSequence
    if let known = published.withLock({ $0.searchIndexes.value(first) }) { return known }
    let path = directory.searchIndex(first)
    let erasures = erasures.withLock { $0.count }
    let file: any File
    do throws(FileSystemError) { file = try directory.fileSystem.open(path, .read) } catch { return nil }
    let subject = try searchSubject(of: extent)
    do {
      let index = try SearchIndex(file, of: subject)
      // Do not cache an index that was opened before an erasure: it may contain erased values.
      self.erasures.withLock { state in
        guard state.count == erasures else { return }
        published.withLock { published in
          if !published.isClosed { published.searchIndexes.insert(index, for: first) }
        }
      }
      return index
    } catch {
      discardSearchIndex(first, reason: "\((error as? SearchIndex.Damage)?.reason ?? "\(error)")")
      return nil
    }
  }

  private func searchSubject(of extent: SegmentExtent) throws(StoreError) -> SearchIndex.Subject {
    SearchIndex.Subject(
      try segment(extent.firstSequence).header, bytes: extent.bytes, next: try segment(extent.nextSequence).header)
  }

  /// Deletes a damaged or stale index and asks for a new one.
  func discardSearchIndex(_ firstSequence: UInt64, reason: String) {
    logger.notice(
      "a segment's search index was damaged or stale; rebuilding it",
      metadata: ["path": "\(directory.searchIndex(firstSequence))", "reason": "\(reason)"])
    published.withLock { $0.searchIndexes.remove(firstSequence) }
    try? directory.fileSystem.remove(directory.searchIndex(firstSequence))
    background.indexer?.request(firstSequence)
  }

  /// What is needed to build the index of a sealed segment; `nil` if it is not sealed.
  func beginSearchIndex(ofSealed firstSequence: UInt64) throws(StoreError) -> SearchIndexBuild? {
    let erasures = erasures.withLock { $0.count }
    guard let extent = try extent(of: firstSequence), extent.isSealed else { return nil }
    return SearchIndexBuild(
      segment: try segment(firstSequence), bytes: extent.bytes, nextSequence: extent.nextSequence, subject: try searchSubject(of: extent),
      path: directory.searchIndex(firstSequence) + DataDirectory.unfinished, erasures: erasures)
  }

  /// Renames a finished index to its final name.
  ///
  /// - Returns: `false` when a record was erased during the build: the index may contain erased values.
  func finishSearchIndex(_ build: SearchIndexBuild) throws(StoreError) -> Bool {
    try erasures.withLock { (state) throws(StoreError) in
      guard state.count == build.erasures else { return false }
      try reading { () throws(FileSystemError) in
        try directory.fileSystem.rename(build.path, to: directory.searchIndex(build.segment.header.firstSequence))
      }
      return true
    }
  }

  /// Deletes the search index of an erased record's segment, durably: it may contain values of the erased body. The indexer builds a new
  /// one.
  ///
  /// The caller holds the lock of `erasures`, so that no index of an earlier build is stored afterwards.
  func forgetSearchIndex(_ firstSequence: UInt64) throws(FileSystemError) {
    published.withLock { published in
      published.searchIndexes.remove(firstSequence)
      if published.newestSearchIndex?.firstSequence == firstSequence { published.newestSearchIndex = nil }
    }
    var isRemoved = false
    for path in [directory.searchIndex(firstSequence), directory.searchIndex(firstSequence) + DataDirectory.unfinished] {
      do throws(FileSystemError) {
        try directory.fileSystem.remove(path)
        isRemoved = true
      } catch { if !error.isMissing { throw error } }
    }
    if isRemoved { try directory.fileSystem.syncDirectory(directory.indexes) }
  }
}
