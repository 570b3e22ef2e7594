import AuditLog
import MerkleTree
import Synchronization

/// The Merkle tree over the record headers, in flat files: `tree/L.hashes` holds tile level L, 32 bytes per hash, in order.
///
/// Everything here is derived from the log, so the files are never synced. A tile that is read is checked against the tree's right edge,
/// which is in memory and comes from the segment headers. A tile that does not match is rebuilt from the records.
final class TreeFiles: Sendable {
  /// Returns the leaf hashes of records in the log.
  typealias Leaves = (Range<UInt64>) throws(StoreError) -> [TreeHash]

  private struct State: Sendable {
    var range = CompactRange()
    /// Number of leaves in the files. Less than `range.size` after a failed write.
    var writtenSize: UInt64 = 0
    var files: [any File] = []
    var failure: FileSystemError?
  }

  /// Number of leaves buffered in memory, so that an append needs no extra write.
  private static let pendingLeaves = 8192

  private let directory: String
  private let fileSystem: any FileSystem
  private let state: Mutex<State>
  /// Leaves that are not in the tree yet. Lock order: `state` before `pending`.
  private let pending = Mutex<[TreeHash]>([])

  /// - Parameter directory: must exist.
  init(directory: String, fileSystem: any FileSystem) {
    self.directory = directory
    self.fileSystem = fileSystem
    state = Mutex(State())
  }

  private func path(_ level: Int) -> String { "\(directory)/\(level).hashes" }

  // MARK: Growing

  /// Adds the leaves of durable records, in order.
  ///
  /// Never waits for readers of tiles, who may hold the state during disk I/O.
  func add(_ leaves: [TreeHash]) {
    let count = pending.withLock { pending in
      pending.append(contentsOf: leaves)
      return pending.count
    }
    if count >= Self.pendingLeaves { _ = state.withLockIfAvailable { flush(&$0) } }
  }

  /// The tree over all added leaves.
  var range: CompactRange {
    state.withLock { state in
      flush(&state)
      return state.range
    }
  }

  /// Hashes pending leaves into the tree and writes full tiles to the files. After a failed write the tree stays correct and the files are
  /// behind.
  private func flush(_ state: inout State) {
    let leaves = pending.withLock { pending in
      defer { pending.removeAll(keepingCapacity: true) }
      return pending
    }
    hash(leaves, into: &state)
  }

  private func hash(_ leaves: [TreeHash], into state: inout State) {
    guard !leaves.isEmpty else { return }
    let size = state.range.size
    var completed: [[TreeHash]] = []
    state.range.append(contentsOf: leaves) { level, _, hashes in
      if level % 8 == 0 { completed.append(hashes) }
    }
    guard state.failure == nil, state.writtenSize == size else { return }
    do throws(FileSystemError) {
      for (level, hashes) in completed.enumerated() {
        try write(hashes, level: level, at: size >> UInt64(8 * level), &state)
      }
      state.writtenSize = state.range.size
    } catch {
      state.failure = error
    }
  }

  private func write(_ hashes: [TreeHash], level: Int, at index: UInt64, _ state: inout State) throws(FileSystemError) {
    while state.files.count <= level { state.files.append(try fileSystem.open(path(state.files.count), .createOrOpen)) }
    let file = state.files[level]
    let result = hashes.withUnsafeBytes { bytes in
      file.writeFully([bytes], at: index * UInt64(TreeHash.byteCount), required: bytes.count)
    }
    if let error = result.error { throw error }
  }

  // MARK: Opening

  /// Resumes from the files if they contain exactly the tree `range`.
  ///
  /// - Returns: whether they do. Hashes after `range` in the files are then ignored and overwritten.
  func resume(at range: CompactRange) -> Bool {
    state.withLock { state in
      guard range.size == 0 || (try? CompactRange(size: range.size, reading: RawTiles(files: self, state: &state))) == range else {
        return false
      }
      state.range = range
      state.writtenSize = range.size
      pending.withLock { $0 = [] }
      state.failure = nil
      return true
    }
  }

  /// The write error that left the files behind the tree; `nil` when they are current.
  var failure: FileSystemError? { state.withLock { $0.failure } }

  /// Writes the leaves that the files are missing, after a failed write.
  func catchUp(_ leaves: Leaves) throws(StoreError) {
    try state.withLock { (state) throws(StoreError) in
      flush(&state)
      guard state.failure != nil else { return }
      var rebuilt = State()
      rebuilt.files = state.files
      // The last write may be partial; complete subtrees before it are not.
      let size = state.writtenSize
      guard let range = try? CompactRange(size: size, reading: RawTiles(files: self, state: &state)) else { return }
      rebuilt.range = range
      rebuilt.writtenSize = size
      while rebuilt.range.size < state.range.size, rebuilt.failure == nil {
        let end = min(state.range.size, rebuilt.range.size + UInt64(Self.pendingLeaves))
        hash(try leaves(rebuilt.range.size..<end), into: &rebuilt)
      }
      if rebuilt.failure == nil, rebuilt.range == state.range { state = rebuilt }
    }
  }

  // MARK: Reading

  /// The tile at `index` of `level`, with as many hashes as the tree has there; empty past its end. Every hash has been checked.
  ///
  /// - Throws: `.damaged` when neither the files nor the records produce the hashes of this tree.
  func tile(level: Int, index: UInt64, leaves: Leaves) throws(StoreError) -> [TreeHash] {
    try state.withLock { (state) throws(StoreError) in
      flush(&state)
      return try checkedTile(level: level, index: index, &state, leaves)
    }
  }

  private func checkedTile(level: Int, index: UInt64, _ state: inout State, _ leaves: Leaves) throws(StoreError) -> [TreeHash] {
    let width = Self.width(level: level, index: index, size: state.range.size)
    guard width > 0 else { return [] }
    let hashes = rawTile(level: level, index: index, width: width, &state)
    if let hashes, try matchesTree(hashes, level: level, index: index, &state, leaves) { return hashes }
    let rebuilt = try rebuildTile(level: level, index: index, width: width, &state, leaves)
    guard try matchesTree(rebuilt, level: level, index: index, &state, leaves) else {
      let records = (index << UInt64(8 * level + 8))..<min(state.range.size, (index + 1) << UInt64(8 * level + 8))
      throw StoreError(
        .damaged,
        "records \(records.lowerBound) to \(records.upperBound - 1) do not match the tree; "
          + "run hubaudit verify to see which, and restore their segment from a copy")
    }
    try? write(rebuilt, level: level, at: index << 8, &state)
    return rebuilt
  }

  private static func width(level: Int, index: UInt64, size: UInt64) -> Int {
    let count = level < 8 ? size >> UInt64(8 * level) : 0
    let start = index << 8
    return start < count ? Int(min(256, count - start)) : 0
  }

  /// Whether the hashes belong to the tree. A full tile is checked against its parent, the last tile of a level against the right edge.
  private func matchesTree(
    _ hashes: [TreeHash], level: Int, index: UInt64, _ state: inout State, _ leaves: Leaves
  ) throws(StoreError) -> Bool {
    if hashes.count == 256 {
      let parent = try checkedTile(level: level + 1, index: index >> 8, &state, leaves)
      return parent[Int(index & 255)] == Self.root(hashes[...])
    }
    var start = 0
    for bit in (0..<8).reversed() where hashes.count >> bit & 1 == 1 {
      let above = state.range.size >> UInt64(8 * level + bit + 1)
      guard Self.root(hashes[start..<start + 1 << bit]) == state.range.hashes[above.nonzeroBitCount] else { return false }
      start += 1 << bit
    }
    return true
  }

  /// Root of a subtree; the number of hashes is a power of two.
  private static func root(_ hashes: ArraySlice<TreeHash>) -> TreeHash {
    var row = Array(hashes)
    while row.count > 1 { row = stride(from: 0, to: row.count, by: 2).map { .node(row[$0], row[$0 + 1]) } }
    return row[0]
  }

  private func rawTile(level: Int, index: UInt64, width: Int, _ state: inout State) -> [TreeHash]? {
    while state.files.count <= level {
      guard let file = try? fileSystem.open(path(state.files.count), .createOrOpen) else { return nil }
      state.files.append(file)
    }
    let bytes = try? state.files[level].readBytes(at: index * UInt64(256 * TreeHash.byteCount), count: width * TreeHash.byteCount)
    guard let bytes, bytes.count == width * TreeHash.byteCount else { return nil }
    return stride(from: 0, to: bytes.count, by: TreeHash.byteCount).map { TreeHash(bytes[$0..<$0 + TreeHash.byteCount])! }
  }

  /// Rebuilds a tile. A stored hash is reused if it is the root of the stored tile below it; otherwise the tile below is rebuilt, down to
  /// the records.
  private func rebuildTile(
    level: Int, index: UInt64, width: Int, _ state: inout State, _ leaves: Leaves
  ) throws(StoreError) -> [TreeHash] {
    let first = index << 8
    if level == 0 { return try leaves(first..<first + UInt64(width)) }
    let stored = rawTile(level: level, index: index, width: width, &state)
    var hashes: [TreeHash] = []
    for position in 0..<width {
      let below = first + UInt64(position)
      if let stored, let tile = rawTile(level: level - 1, index: below, width: 256, &state), Self.root(tile[...]) == stored[position] {
        hashes.append(stored[position])
      } else {
        let tile = try rebuildTile(level: level - 1, index: below, width: 256, &state, leaves)
        try? write(tile, level: level - 1, at: below << 8, &state)
        hashes.append(Self.root(tile[...]))
      }
    }
    return hashes
  }

  /// Reads the files without checking them.
  private struct RawTiles: TileHashReader {
    let read: (Int, Range<UInt64>) -> [TreeHash]

    init(files: TreeFiles, state: inout State) {
      var snapshot = state
      read = { level, indices in
        let index = indices.lowerBound >> 8
        let start = Int(indices.lowerBound & 255)
        let end = start + indices.count
        return files.rawTile(level: level, index: index, width: end, &snapshot).map { Array($0[start..<end]) } ?? []
      }
      state.files = snapshot.files
    }

    func tileHashes(level: Int, indices: Range<UInt64>) -> [TreeHash] { read(level, indices) }
  }
}
