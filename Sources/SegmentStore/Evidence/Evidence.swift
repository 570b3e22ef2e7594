import AuditLog
import AuditSchema
import Logging
import MerkleTree
import Synchronization

/// Merkle tree and checkpoints: what auditors and clients ask for.
extension SegmentStore: EvidenceStore {
  public var evidence: (any EvidenceStore)? { self }

  public var origin: String? { identity.origin }

  public func treeHead() throws(StoreError) -> TreeHead {
    // The head is in memory and correct even if the files cannot be caught up.
    if tree.failure != nil { try? tree.catchUp(leaves) }
    let range = tree.range
    return TreeHead(size: range.size, root: range.root)
  }

  public func tile(level: Int, index: UInt64) throws(StoreError) -> [TreeHash] {
    try tree.tile(level: level, index: index, leaves: leaves)
  }

  public var newestCheckpoint: StoredCheckpoint? { Self.newest(checkpoints, cosignedCheckpoints) }

  /// The checkpoint of the most records; of equal ones the one stored last.
  static func newest(_ signed: CheckpointFiles, _ cosigned: CheckpointFiles) -> StoredCheckpoint? {
    guard let signed = signed.newest, let cosigned = cosigned.newest else { return signed.newest ?? cosigned.newest }
    return (cosigned.size, cosigned.storedAt) >= (signed.size, signed.storedAt) ? cosigned : signed
  }

  public func newestCosigned(where isWanted: (StoredCheckpoint) -> Bool) throws(StoreError) -> StoredCheckpoint? {
    var cursor = try CheckpointFiles.Cursor(.cosigned, path: checkpointPath, newestFiles: 2, fileSystem: directory.fileSystem)
    var found: [StoredCheckpoint] = []
    while let one = try cursor.next() { found.append(one) }
    return found.last(where: isWanted)
  }

  public func store(_ checkpoint: StoredCheckpoint) throws(StoreError) {
    if let failure = cosignedCheckpoints.failure { throw failure }
    try confirmPaths()
    try checkpoints.append(checkpoint)
  }

  @discardableResult
  public func store(cosigned checkpoint: StoredCheckpoint) throws(StoreError) -> Bool {
    if let failure = checkpoints.failure { throw failure }
    try confirmPaths()
    return try cosignedCheckpoints.append(checkpoint)
  }

  var checkpointPath: String { configuration.checkpoints ?? directory.checkpoints }

  public func forEachCheckpoint(_ body: (StoredCheckpoint) throws -> Void) throws {
    var history = try CheckpointHistory(path: checkpointPath, fileSystem: directory.fileSystem)
    while let checkpoint = try history.next() { try body(checkpoint) }
  }

  /// Reads records, checks them and returns their leaf hashes.
  func leaves(_ records: Range<UInt64>) throws(StoreError) -> [TreeHash] {
    var hashes: [TreeHash] = []
    hashes.reserveCapacity(records.count)
    let reader = RecordReader(store: self, from: records.lowerBound)
    while let batch = try reader.next(before: records.upperBound) { batch.forEachRecord { hashes.append(TreeHash(leafOfRecord: $0)) } }
    return hashes
  }

  // MARK: Opening

  /// Rebuilds the tree up to the last durable record. It resumes from the newest segment whose header matches the tree files; without one,
  /// from record 0. The records of the newest segment are always hashed.
  func recoverTree() throws(StoreError) {
    let rows = published.withLock { $0.table.rows }
    var index = rows.count - 1
    while index > 0 {
      if tree.resume(at: try treeBefore(rows[index].firstSequence)) { break }
      index -= 1
    }
    if index == 0 { _ = tree.resume(at: CompactRange()) }
    if index < rows.count - 1 {
      logger.notice(
        "the tree files are missing or out of date; rebuilding them from the records",
        metadata: ["from_sequence": "\(rows[index].firstSequence)"])
    }
    for index in index..<rows.count {
      let end = index + 1 < rows.count ? rows[index + 1].firstSequence : nextSequence
      var first = rows[index].firstSequence
      while first < end {
        let last = min(end, first + 8192)
        tree.add(try leaves(first..<last))
        first = last
      }
      guard index + 1 < rows.count else { break }
      if try treeBefore(end) != tree.range {
        throw StoreError(
          .tampered,
          "the records of \(directory.segment(rows[index].firstSequence)) do not match the tree in the next segment's header; "
            + "run `hubaudit verify` for details, and restore the file from a copy (the store changed nothing)",
          path: directory.segment(rows[index].firstSequence))
      }
    }
  }

  private func treeBefore(_ firstSequence: UInt64) throws(StoreError) -> CompactRange {
    try segment(firstSequence).header.treeBefore()
  }

  /// Checks that the log contains what the newest signed checkpoint covers. Others have seen that checkpoint.
  ///
  /// - Throws: `.tampered` when the log is shorter or has another root.
  func checkAgainstNewestCheckpoint() throws(StoreError) {
    guard let newest = newestCheckpoint else { return }
    let signed: SignedCheckpoint
    do throws(EvidenceError) { signed = try SignedCheckpoint(newest.note) } catch {
      throw StoreError(.damaged, "the newest stored checkpoint cannot be read (\(error)); restore the checkpoints from a copy")
    }
    let size = signed.checkpoint.size
    guard size == newest.size else {
      throw StoreError(
        .tampered,
        "the newest checkpoint covers \(size) records, but its file says \(newest.size): the file was changed; restore the checkpoints "
          + "from a copy (the store changed nothing)",
        path: checkpointPath)
    }
    guard size <= nextSequence else { throw .shorter(than: newest, has: nextSequence, directory.root) }
    let root: TreeHash
    do { root = try self.root(size: size) } catch let error as StoreError { throw error } catch {
      throw StoreError(.damaged, "the tree of \(size) records cannot be built: \(error)")
    }
    guard root == signed.checkpoint.root else {
      throw StoreError(
        .tampered,
        "the first \(size) records of \(directory.root) have the root \(root), but the checkpoint that was signed for them at "
          + "\(UTCTime.rfc3339(newest.storedAt)) says \(signed.checkpoint.root): records were changed, or another log replaced "
          + "this one; keep everything as it is, run `hubaudit verify --data \(directory.root)` to see what and where, and restore a copy "
          + "that fits (the store changed nothing)",
        path: directory.root)
    }
  }
}

extension StoreError {
  /// The log is shorter than a signed checkpoint.
  static func shorter(than checkpoint: StoredCheckpoint, has size: UInt64, _ root: String) -> StoreError {
    StoreError(
      .tampered,
      "\(root) holds \(size) records, but the checkpoint that was signed at \(UTCTime.rfc3339(checkpoint.storedAt)) covers \(checkpoint.size): "
        + "records were removed, or an older copy was put back; keep everything as it is, run `hubaudit verify --data \(root)` to see the "
        + "evidence, and restore a copy that holds all of them (the store changed nothing)",
      path: root)
  }
}
