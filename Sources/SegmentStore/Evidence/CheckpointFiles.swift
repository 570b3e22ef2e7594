import AuditLog
import AuditSchema
import Glibc
import Synchronization

/// All checkpoints of the log, kept for ever: files of `StoredCheckpoint`s. A file is named by the size of its first checkpoint.
///
/// A checkpoint is durable before anybody sees it. Only the newest file grows, by one write and one sync at a time, so a crash can tear
/// only its last checkpoint.
final class CheckpointFiles: Sendable {
  /// Which checkpoints a series of files holds.
  enum Kind: String, Sendable, CaseIterable {
    /// As the log signed them. Sizes never decrease.
    case signed = ".ckpt"
    /// As returned by witnesses, with their cosignatures. A slow witness may return a smaller checkpoint after larger ones, but never one
    /// smaller than the first of the file.
    case cosigned = ".cosigned"
  }

  private struct State: Sendable {
    var file: (any File)?
    /// Size of the first checkpoint in the file, records.
    var first: UInt64 = 0
    var end: UInt64 = 0
    /// The checkpoint of the most records; of equal ones the one stored last.
    var newest: StoredCheckpoint?
    /// Whether a failed write may have left bytes after `end`.
    var hasPartialWrite = false
    var failure: StoreError?
  }

  /// A larger file is not continued, bytes: a start reads the newest file whole.
  private static let fileBytes: UInt64 = 1 << 20

  private let kind: Kind
  private let path: String
  private let directory: DataDirectory
  /// Bytes truncated from the newest file at opening: an incomplete checkpoint.
  let tornBytes: UInt64
  private let state: Mutex<State>

  /// Opens the series of files in the directory `path`, which is created if it is missing.
  ///
  /// - Throws: `.damaged` when a stored checkpoint is not intact, `.unusable` when the directory cannot be used.
  init(_ kind: Kind, path: String, directory: DataDirectory) throws(StoreError) {
    self.kind = kind
    self.path = path
    self.directory = directory
    var state = State()
    let fileSystem = directory.fileSystem
    try preparing { () throws(FileSystemError) in
      if try fileSystem.createDirectory(path) { try fileSystem.syncDirectory(DataDirectory.parent(of: path)) }
    }
    for name in try Self.names(path, fileSystem) where name.hasSuffix(kind.rawValue + DataDirectory.unfinished) {
      try preparing { () throws(FileSystemError) in try fileSystem.remove("\(path)/\(name)") }
    }
    var tornBytes: UInt64 = 0
    // A file is created with its first checkpoint, atomically: it is never empty.
    if let newest = try Self.fileNames(kind, path, fileSystem).last {
      let newestPath = "\(path)/\(newest)"
      let file = try preparing { () throws(FileSystemError) in try fileSystem.open(newestPath, .readWrite) }
      let (checkpoints, end, bytes) = try Self.read(file, newestPath)
      guard let first = checkpoints.first, let last = checkpoints.last else {
        throw .damaged(newestPath, offset: 0, "the file holds no whole checkpoint, although it was created with one")
      }
      // The last write may not be synced, or its sync failed (FORMAT.md, N8): write it again before anybody sees it.
      let lastBytes = last.encoded()
      tornBytes = bytes - end
      try preparing { () throws(FileSystemError) in
        if bytes > end { try file.truncate(to: end) }
        try file.writeFully(lastBytes, at: end - UInt64(lastBytes.count))
        try file.sync()
        try fileSystem.syncDirectory(path)
      }
      state.file = file
      state.first = first.size
      state.end = end
      state.newest = checkpoints.reduce(first) { $1.size >= $0.size ? $1 : $0 }
    } else {
      try directory.syncParent(of: path)
    }
    self.tornBytes = tornBytes
    self.state = Mutex(state)
  }

  private static func names(_ path: String, _ fileSystem: any FileSystem) throws(StoreError) -> [String] {
    try reading { () throws(FileSystemError) in try fileSystem.list(path) }
  }

  private static func fileNames(_ kind: Kind, _ path: String, _ fileSystem: any FileSystem) throws(StoreError) -> [String] {
    try names(path, fileSystem).filter { $0.hasSuffix(kind.rawValue) && $0.utf8.count == 20 + kind.rawValue.utf8.count }.sorted()
  }

  /// Reads all whole checkpoints of a file, the offset after the last one, and the file's size.
  ///
  /// - Throws: `.damaged` when an intact checkpoint follows one that is not.
  private static func read(
    _ file: any File, _ path: String
  ) throws(StoreError) -> (checkpoints: [StoredCheckpoint], end: UInt64, bytes: UInt64) {
    let content = try reading { () throws(FileSystemError) in try file.readBytes(at: 0, count: Int(try file.size())) }
    var checkpoints: [StoredCheckpoint] = []
    var end = 0
    let later: Int? = content.withUnsafeBytes { bytes in
      while end < bytes.count, let found = StoredCheckpoint.read(UnsafeRawBufferPointer(rebasing: bytes[end...])) {
        checkpoints.append(found.checkpoint)
        end += found.bytes
      }
      return (end..<bytes.count).first { StoredCheckpoint.read(UnsafeRawBufferPointer(rebasing: bytes[$0...])) != nil }
    }
    if let later {
      throw .damaged(path, offset: UInt64(end), "a checkpoint is not intact, but a later one stands at offset \(later)")
    }
    return (checkpoints, UInt64(end), UInt64(content.count))
  }

  var newest: StoredCheckpoint? { state.withLock { $0.newest } }

  /// The error after which no more checkpoints are stored.
  var failure: StoreError? { state.withLock { $0.failure } }

  /// Stores a checkpoint and syncs it. A checkpoint that is too small for this kind of file (`Kind`) is ignored.
  ///
  /// - Returns: whether it was stored.
  /// - Throws: `.full` when nothing was stored and a later call may succeed; `.invalid` for a note longer than a start would read;
  ///   `.failed` when storing must end.
  @discardableResult
  func append(_ checkpoint: StoredCheckpoint) throws(StoreError) -> Bool {
    guard checkpoint.note.count <= StoredCheckpoint.maxNoteBytes else {
      throw StoreError(
        .invalid,
        "the checkpoint of \(checkpoint.size) records has \(checkpoint.note.count) bytes with its signatures; "
          + "the limit is \(StoredCheckpoint.maxNoteBytes); use fewer witnesses, or shorter names for them")
    }
    return try state.withLock { (state) throws(StoreError) in
      if let failure = state.failure { throw failure }
      let largest = state.newest?.size ?? 0
      if checkpoint.size < (kind == .signed ? largest : state.first) { return false }
      do throws(StoreError) {
        if state.file == nil || (state.end > Self.fileBytes && checkpoint.size > largest) {
          try begin(&state, with: checkpoint.encoded(), size: checkpoint.size)
        } else {
          try grow(&state, by: checkpoint.encoded())
        }
      } catch {
        if error.code == .failed { state.failure = error }
        throw error
      }
      if checkpoint.size >= largest { state.newest = checkpoint }
      return true
    }
  }

  private func begin(_ state: inout State, with encoded: [UInt8], size: UInt64) throws(StoreError) {
    do throws(DurableFileError) {
      state.file = try directory.createDurably("\(path)/\(DataDirectory.digits(size))\(kind.rawValue)", encoded)
      state.first = size
      state.end = UInt64(encoded.count)
    } catch {
      let mayPass = error.cause.isNoRoom || error.cause.isNoResources
      throw error.isKnownAbsent && mayPass ? .full(error.cause) : .checkpointsFailed(error.cause)
    }
  }

  private func grow(_ state: inout State, by encoded: [UInt8]) throws(StoreError) {
    let file = state.file!
    let end = state.end
    do throws(FileSystemError) {
      // A removed file would take all later checkpoints with it.
      if try file.attributes().links == 0 {
        throw FileSystemError("fstat", "\(path)/\(DataDirectory.digits(state.first))\(kind.rawValue)", ENOENT)
      }
      if state.hasPartialWrite { try file.truncate(to: end) }
      state.hasPartialWrite = true
      try file.writeFully(encoded, at: end)
    } catch { throw error.isNoRoom ? .full(error) : .checkpointsFailed(error) }
    do throws(FileSystemError) { try file.syncData() } catch { throw .checkpointsFailed(error) }
    state.hasPartialWrite = false
    state.end += UInt64(encoded.count)
  }
}

extension CheckpointFiles {
  /// Reads the checkpoints of a series of files, by ascending size, one file in memory at a time.
  struct Cursor {
    private let kind: Kind
    private let path: String
    private let fileSystem: any FileSystem
    private var names: ArraySlice<String>
    private var checkpoints: ArraySlice<StoredCheckpoint> = []
    /// Path of the file that the last checkpoint came from.
    private(set) var file = ""
    /// Content of the newest file when the cursor was made. Later checkpoints cover records added later.
    private let newest: Result<(checkpoints: [StoredCheckpoint], end: UInt64, bytes: UInt64), StoreError>?
    private let newestName: String

    /// - Parameter newestFiles: read only this many of the newest files; `nil`: all.
    init(_ kind: Kind, path: String, newestFiles: Int? = nil, fileSystem: any FileSystem) throws(StoreError) {
      self.kind = kind
      self.path = path
      self.fileSystem = fileSystem
      let names = try fileNames(kind, path, fileSystem)
      self.names = names.suffix(newestFiles ?? names.count)
      newestName = "\(path)/\(names.last ?? "")"
      newest = names.last.map { name in
        Result { () throws(StoreError) in try Self.content("\(path)/\(name)", fileSystem) }
      }
    }

    private static func content(
      _ path: String, _ fileSystem: any FileSystem
    ) throws(StoreError) -> (checkpoints: [StoredCheckpoint], end: UInt64, bytes: UInt64) {
      let file = try reading { () throws(FileSystemError) in try fileSystem.open(path, .read) }
      return try CheckpointFiles.read(file, path)
    }

    /// Bytes after the last whole checkpoint of the newest file; `nil` when there are none.
    var incompleteTail: (file: String, offset: UInt64, bytes: UInt64)? {
      guard case .success(let content)? = newest, content.bytes > content.end else { return nil }
      return (newestName, content.end, content.bytes - content.end)
    }

    /// - Throws: `.damaged` when a file is not intact. The next call continues with the next file.
    mutating func next() throws(StoreError) -> StoredCheckpoint? {
      while checkpoints.isEmpty, let name = names.popFirst() {
        file = "\(path)/\(name)"
        let (found, end, bytes) = try names.isEmpty ? newest!.get() : Self.content(file, fileSystem)
        if bytes > end, !names.isEmpty {
          throw .damaged(self.file, offset: end, "a checkpoint is incomplete, and the file is not the newest")
        }
        // The sort is stable: checkpoints of equal size stay in the order they were stored.
        checkpoints = (kind == .cosigned ? found.sorted { $0.size < $1.size } : found)[...]
      }
      return checkpoints.popFirst()
    }
  }
}

extension StoreError {
  fileprivate static func checkpointsFailed(_ error: FileSystemError) -> StoreError {
    StoreError(
      .failed,
      "storing checkpoints has ended: the state of the disk is unknown (\(error)); check the disk and start the server again: "
        + "records and earlier checkpoints are safe",
      path: error.path)
  }
}
