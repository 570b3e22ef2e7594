import AuditLog
import AuditSchema
import Glibc
import Synchronization

/// The signed checkpoints, for ever: files of `StoredCheckpoint`s, each named by the size that its first one covers.
///
/// A checkpoint is on disk before anybody sees it. Only the newest file grows, by one write and one sync at a time, so only its last element
/// may be torn after a crash.
final class CheckpointFiles: Sendable {
  /// What a series of files holds.
  enum Kind: String, Sendable, CaseIterable {
    /// What the log has signed, as it was signed. Sizes never fall.
    case signed = ".ckpt"
    /// What came back from witnesses, with their signatures. Within a file sizes may fall, to that of its first one at the least: a slow
    /// witness answers when others have cosigned more already.
    case cosigned = ".cosigned"
  }

  private struct State: Sendable {
    var file: (any File)?
    /// Size that the file's first one covers.
    var first: UInt64 = 0
    var end: UInt64 = 0
    /// Of those that cover most, the one that was stored last.
    var newest: StoredCheckpoint?
    /// Whether a write may have left something behind `end`.
    var isLittered = false
    var failure: StoreError?
  }

  /// A file over this many bytes is not continued: a start reads the newest whole.
  private static let fileBytes: UInt64 = 1 << 20

  private let kind: Kind
  private let path: String
  private let directory: DataDirectory
  /// What was cut from the end of the newest file when it was opened, since it was no whole checkpoint.
  let tornBytes: UInt64
  private let state: Mutex<State>

  /// Opens the series of files that there is in `path`, which is made when it is missing.
  ///
  /// - Throws: `.damaged` when a checkpoint that was stored is not intact, `.unusable` when the directory cannot be used.
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
    // A file is begun with an element in it, durably; an empty one cannot be.
    if let newest = try Self.fileNames(kind, path, fileSystem).last {
      let newestPath = "\(path)/\(newest)"
      let file = try preparing { () throws(FileSystemError) in try fileSystem.open(newestPath, .readWrite) }
      let (checkpoints, end, bytes) = try Self.read(file, newestPath)
      guard let first = checkpoints.first, let last = checkpoints.last else {
        throw .damaged(newestPath, offset: 0, "the file holds no whole checkpoint, and it was begun with one")
      }
      // The last write may not have been synced, or its sync may have failed: nobody may see it before it is.
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

  /// All whole elements of a file, where they end, and the file's size.
  ///
  /// - Throws: `.damaged` when something that is not an element stands before one that is.
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
      throw .damaged(path, offset: UInt64(end), "a checkpoint is not intact, yet one that was stored later stands at offset \(later)")
    }
    return (checkpoints, UInt64(end), UInt64(content.count))
  }

  var newest: StoredCheckpoint? { state.withLock { $0.newest } }

  /// Why no more checkpoints can be stored.
  var failure: StoreError? { state.withLock { $0.failure } }

  /// Stores a checkpoint and returns when it would survive a power cut. One whose size the kind of the files does not allow any more is passed
  /// over.
  ///
  /// - Returns: whether it was stored.
  /// - Throws: `.full` when there is no room: nothing was stored, a later one may be. `.invalid` for a note that no start would read again.
  ///   `.failed` for good.
  @discardableResult
  func append(_ checkpoint: StoredCheckpoint) throws(StoreError) -> Bool {
    guard checkpoint.note.count <= StoredCheckpoint.maxNoteBytes else {
      throw StoreError(
        .invalid,
        "the checkpoint of \(checkpoint.size) records has \(checkpoint.note.count) bytes with its signatures; "
          + "\(StoredCheckpoint.maxNoteBytes) are kept; have fewer witnesses, or give them shorter names")
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
      throw error.isSettled && mayPass ? .full(error.cause) : .checkpointsFailed(error.cause)
    }
  }

  private func grow(_ state: inout State, by encoded: [UInt8]) throws(StoreError) {
    let file = state.file!
    let end = state.end
    do throws(FileSystemError) {
      // A name that is gone takes with it what is written from now on.
      if try file.attributes().links == 0 {
        throw FileSystemError("fstat", "\(path)/\(DataDirectory.digits(state.first))\(kind.rawValue)", ENOENT)
      }
      if state.isLittered { try file.truncate(to: end) }
      state.isLittered = true
      try file.writeFully(encoded, at: end)
    } catch { throw error.isNoRoom ? .full(error) : .checkpointsFailed(error) }
    do throws(FileSystemError) { try file.syncData() } catch { throw .checkpointsFailed(error) }
    state.isLittered = false
    state.end += UInt64(encoded.count)
  }
}

extension CheckpointFiles {
  /// Goes through the checkpoints of a series of files, ascending by the records that they cover, one file at a time.
  struct Cursor {
    private let kind: Kind
    private let path: String
    private let fileSystem: any FileSystem
    private var names: ArraySlice<String>
    private var checkpoints: ArraySlice<StoredCheckpoint> = []
    /// The file that the last one came from.
    private(set) var file = ""
    /// The newest file as it was at first: what is added to it later is about records that were added later.
    private let newest: Result<(checkpoints: [StoredCheckpoint], end: UInt64, bytes: UInt64), StoreError>?
    private let newestName: String

    /// - Parameter newestFiles: how many of the files, from the newest on; `nil`: all of them.
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

    /// What stands behind the last whole checkpoint of the newest file; `nil` when nothing does.
    var rest: (file: String, offset: UInt64, bytes: UInt64)? {
      guard case .success(let content)? = newest, content.bytes > content.end else { return nil }
      return (newestName, content.end, content.bytes - content.end)
    }

    /// - Throws: `.damaged` when a file is not intact; the next call goes on with the next file.
    mutating func next() throws(StoreError) -> StoredCheckpoint? {
      while checkpoints.isEmpty, let name = names.popFirst() {
        file = "\(path)/\(name)"
        let (found, end, bytes) = try names.isEmpty ? newest!.get() : Self.content(file, fileSystem)
        if bytes > end, !names.isEmpty {
          throw .damaged(self.file, offset: end, "a checkpoint is not whole, and the file is not the newest")
        }
        // Of the same size, in the order in which they were stored: the sort is a stable one.
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
      "no more checkpoints are stored, since it is not known what the disk holds (\(error)); check the disk and start the server again: "
        + "records and earlier checkpoints are safe",
      path: error.path)
  }
}
