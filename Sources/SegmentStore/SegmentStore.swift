import AuditLog
import AuditSchema
import Logging
import MerkleTree
import Synchronization

/// The log in files of one directory on a local disk: the `RecordStore` of a single server.
///
/// A log is a sequence of segments. A segment is a file of commits; one write and one sync stored each commit. Only the newest segment
/// grows. FORMAT.md specifies every byte and what recovery does after a crash.
///
/// Life cycle: `open` locks the directory, recovers the newest segment up to its last whole commit and sets `start`. Then one thread
/// appends while any number of threads read. `close` truncates the newest segment to its last commit. Without `close`, or after a kill, the
/// next `open` only has to read the newest segment.
///
/// Where to start reading: `ActiveSegment` writes, `Recovery` decides what survived a crash, `SegmentReads` finds and checks records,
/// `SegmentSearch` lets filtered reads skip blocks, `FileSystem` is the only access to the disk. This target imports `AuditLog` for the
/// protocol and `AuditSchema` for the encoding of segment header, commit header and record. It never parses an event: `AuditSchema` gives
/// it hashes of the values for the search index.
public final class SegmentStore: RecordStore {
  /// State that readers see. The lock is held for a few instructions, never during I/O.
  struct Published: ~Copyable {
    var table: SegmentTable
    var nextSequence: UInt64
    /// Index of the newest segment.
    var index: SparseIndex
    var files: BoundedCache<OpenSegment>
    var indexes: BoundedCache<SparseIndex>
    var searchIndexes: BoundedCache<SearchIndex>
    var newestSearchIndex: NewestSearchIndex?
    /// Total bytes of all sealed segments.
    var sealedBytes: UInt64
    /// Rows of `table` where a time stretch begins; `nil` until the first search by time.
    var stretches: [Int]?
    /// Incremented with each new stretch, so that a list computed before it is not stored.
    var stretchVersion = 0

    mutating func forgetStretches() {
      stretches = nil
      stretchVersion += 1
    }
    var appendFailure: StoreError?
    var isClosed = false
  }

  /// State of the appending thread. The lock is held for a whole append.
  struct Writer: ~Copyable {
    var active: ActiveSegment
    var nextSequence: UInt64
    /// Unix ns. The next commit must be later, unless the clock was set back.
    var receivedAfter: UInt64
    var failure: StoreError?
    /// Why the paths no longer lead to the open files. Final, like a failed sync: appending has ended.
    var pathFailure: StoreError?
    var isClosed = false
    /// The data directory and the checkpoint directory, locked as long as they are open.
    var lockedDirectories: [LockedDirectory]
  }

  /// An open, locked directory and the path it was opened by.
  struct LockedDirectory: Sendable {
    var path: String
    var file: any File
  }

  public let start: LogStart
  package let identity: LogIdentity
  let configuration: SegmentStoreConfiguration
  let directory: DataDirectory
  let logger: Logger
  private let zeros = [UInt8](repeating: 0, count: 64 << 10)
  private let torn: TornEnd?
  let tree: TreeFiles
  let checkpoints: CheckpointFiles
  let cosignedCheckpoints: CheckpointFiles
  struct Erasures: Sendable {
    var pending: [Erasure]
    /// Number of erasures begun since the store was opened.
    var count: UInt64 = 0
  }
  /// The lock is held while a record is overwritten.
  let erasures: Mutex<Erasures>
  let writer: Mutex<Writer>
  let published: Mutex<Published>
  let background = BackgroundWork()
  private let syncDurations = DurationHistogram()

  /// Opens the log in `directory`. A missing directory is created; a directory without a log gets a new one.
  ///
  /// - Throws: `.locked` when another process has the directory open, `.damaged` when stored data is missing or changed, `.tampered` when
  ///   the log contradicts a signed checkpoint, `.unusable` when the directory cannot be used for another reason.
  public static func open(
    directory: String, configuration: SegmentStoreConfiguration = .init(), logger: Logger = Logger(label: "hubaudit.store")
  ) throws(StoreError) -> SegmentStore {
    try SegmentStore(directory: directory, configuration: configuration, fileSystem: PosixFileSystem(), logger: logger)
  }

  package init(
    directory path: String, configuration: SegmentStoreConfiguration, fileSystem: any FileSystem, logger: Logger
  ) throws(StoreError) {
    let directory = DataDirectory(root: path, fileSystem: fileSystem)
    var lockedDirectories = [LockedDirectory(path: path, file: try directory.prepare())]
    identity = try directory.openIdentity(configuration)
    let checkpointPath = configuration.checkpoints ?? directory.checkpoints
    lockedDirectories.append(LockedDirectory(path: checkpointPath, file: try directory.lockCheckpoints(checkpointPath)))
    checkpoints = try CheckpointFiles(.signed, path: checkpointPath, directory: directory)
    cosignedCheckpoints = try CheckpointFiles(.cosigned, path: checkpointPath, directory: directory)
    let tornBytes = checkpoints.tornBytes + cosignedCheckpoints.tornBytes
    if tornBytes > 0 {
      logger.warning(
        """
        the last stored checkpoint is incomplete and was truncated: either a crash interrupted its write, and nobody was shown it, or the file \
        is damaged; check against a later checkpoint that you kept (hubaudit verify --since)
        """,
        metadata: ["bytes": "\(tornBytes)", "records_covered": "\(checkpoints.newest?.size ?? 0)"])
    }
    erasures = Mutex(Erasures(pending: try Self.finishErasures(directory)))
    tree = TreeFiles(directory: directory.tree, fileSystem: fileSystem)
    let found = try Recovery(
      directory: directory, identity: identity, configuration: configuration,
      newestCheckpoint: Self.newest(checkpoints, cosignedCheckpoints), logger: logger
    ).run()
    if let torn = found.torn {
      logger.warning(
        "the newest segment had a torn end; it was truncated and a copy was kept",
        metadata: [
          "segment": "\(found.active.path)", "offset": "\(found.active.end)", "bytes": "\(torn.bytes)", "kept": "\(torn.path)",
          "next_sequence": "\(found.nextSequence)",
        ])
    }
    self.directory = directory
    self.configuration = configuration
    self.logger = logger
    torn = found.torn
    start = LogStart(
      logID: identity.logID, firstSequence: found.table.rows[0].firstSequence, nextSequence: found.nextSequence,
      lastReceivedAt: max(found.receivedAfter, found.active.end == found.headerEnd ? found.header.previousReceivedAt : 0),
      state: found.header.state, stateSequence: found.header.firstSequence)
    writer = Mutex(
      Writer(
        active: found.active, nextSequence: found.nextSequence, receivedAfter: found.receivedAfter, lockedDirectories: lockedDirectories))
    published = Mutex(
      Published(
        table: found.table, nextSequence: found.nextSequence, index: found.index, files: BoundedCache(limit: configuration.cachedFiles),
        indexes: BoundedCache(limit: configuration.cachedIndexes),
        searchIndexes: BoundedCache(limit: configuration.cachedSearchIndexes),
        sealedBytes: found.table.rows.dropLast().reduce(0) { $0 + $1.bytes }))
    try recoverTree()
    try checkAgainstNewestCheckpoint()
    background.start(for: self)
  }

  deinit { background.stop() }

  public var nextSequence: UInt64 { published.withLock { $0.nextSequence } }

  public var status: StoreStatus {
    published.withLock { published in
      var status = StoreStatus()
      status.bytes = published.sealedBytes + published.table.newest.bytes
      status.segments = published.table.rows.count
      status.tornBytes = torn?.bytes ?? 0
      status.tornFile = torn?.path
      status.appendFailure = published.appendFailure
      status.syncDurations = syncDurations.snapshot
      status.scrub = background.scrubStatus
      return status
    }
  }

  /// Result of checking the records of a commit.
  private struct Checked: Sendable {
    /// Places for the sparse index. Offsets count from the first record of the commit.
    var places: SparseIndex
    /// The leaf hash of each record.
    var leaves: [TreeHash] = []
  }

  public func prepare(_ commit: borrowing Commit) throws(StoreError) -> (any Sendable)? {
    try check(try Self.commitHeader(for: commit), commit.bytes)
  }

  public func append(_ commit: borrowing Commit, state: () -> [UInt8]) throws(StoreError) {
    let commitHeader = try Self.commitHeader(for: commit)
    let records = commit.bytes
    let prepared = commit.preparation as? Checked
    let stepsBack = commit.stepsBack
    let checked = if let prepared { prepared } else { try check(commitHeader, records) }
    try writer.withLock { (writer) throws(StoreError) in
      if writer.isClosed { throw Self.closed }
      if let failure = writer.failure { throw failure }
      guard commitHeader.firstSequence == writer.nextSequence, commitHeader.receivedAt > (stepsBack ? 0 : writer.receivedAfter) else {
        throw StoreError(
          .invalid,
          "the commit begins with record \(commitHeader.firstSequence) at time \(commitHeader.receivedAt); the log goes on with record "
            + "\(writer.nextSequence) after time \(writer.receivedAfter)")
      }
      do throws(StoreError) {
        // A clock that was set back needs a new segment: its header begins a new stretch.
        let beginsStretch = stepsBack && commitHeader.receivedAt <= writer.receivedAfter
        try roll(&writer, for: records.count, beginsStretch: beginsStretch, state: state)
        let offset = writer.active.end
        try writer.active.append(
          commitHeader, records, zeros: zeros, zeroBytes: zeroBytes(after: offset, records.count),
          syncDurations: syncDurations)
        writer.nextSequence += UInt64(commitHeader.count)
        writer.receivedAfter = commitHeader.receivedAt
        tree.add(checked.leaves)
        publish(commitHeader, checked.places, at: offset, end: writer.active.end)
      } catch {
        if error.code == .failed { writer.failure = error }
        published.withLock { $0.appendFailure = error }
        throw error
      }
    }
  }

  /// Checks that the paths still lead to the open files and that nobody else wrote to the newest segment. If not, appending ends.
  func confirmPaths() throws(StoreError) {
    try writer.withLock { (writer) throws(StoreError) in
      if writer.isClosed { throw Self.closed }
      if let failure = writer.pathFailure { throw failure }
      do throws(StoreError) {
        try Self.confirmPaths(writer, directory)
        if writer.failure == nil { try writer.active.confirmEnd() }
      } catch {
        writer.pathFailure = error
        if writer.failure == nil {
          logger.critical("appending has ended", metadata: ["reason": "\(error.message)"])
          writer.failure = error
          published.withLock { $0.appendFailure = error }
        }
        throw error
      }
    }
  }

  private static func confirmPaths(_ writer: borrowing Writer, _ directory: DataDirectory) throws(StoreError) {
    for locked in writer.lockedDirectories { try confirmPath(locked.path, locked.file, followsLinks: true, directory) }
    try confirmPath(writer.active.path, writer.active.file, followsLinks: false, directory)
  }

  private static func confirmPath(_ path: String, _ file: any File, followsLinks: Bool, _ directory: DataDirectory) throws(StoreError) {
    let isSame: Bool
    do throws(FileSystemError) {
      isSame = try directory.fileSystem.attributes(path, followsLinks: followsLinks).isSameFile(as: try file.attributes())
    } catch {
      // Lack of memory or descriptors says nothing about the path.
      if error.isNoResources { return }
      throw error.isAbsence ? .displaced(path, "cannot be found (\(error))") : .unconfirmed(path, error)
    }
    guard isSame else { throw .displaced(path, "is no longer the file or directory that this server has open") }
  }

  private static let closed = StoreError(.closed, "the store was closed; nothing was stored or read")

  private static func commitHeader(for commit: borrowing Commit) throws(StoreError) -> CommitHeader {
    guard commit.count > 0, let count = UInt32(exactly: commit.count), let bytes = UInt32(exactly: commit.bytes.count) else {
      throw StoreError(
        .invalid,
        "a commit of \(commit.count) records in \(commit.bytes.count) bytes; it takes at least 1 record and at most \(UInt32.max) bytes")
    }
    return CommitHeader(firstSequence: commit.firstSequence, receivedAt: commit.receivedAt, count: count, bytes: bytes)
  }

  /// Checks that the commit can be read back, so that an encoder bug cannot become damage on disk.
  private func check(_ commitHeader: CommitHeader, _ records: UnsafeRawBufferPointer) throws(StoreError) -> Checked {
    var checked = Checked(places: SparseIndex(spacingBytes: configuration.indexSpacingBytes))
    checked.leaves.reserveCapacity(Int(commitHeader.count))
    var offset = 0
    var sequence = commitHeader.firstSequence
    // Headers are hashed in pairs: this one waits for the next.
    var unhashed: UnsafeRawBufferPointer?
    while offset < records.count {
      let rest = UnsafeRawBufferPointer(rebasing: records[offset...])
      guard let framing = RecordFraming(head: rest), framing.totalBytes <= rest.count, framing.sequence == sequence,
        framing.receivedAt == commitHeader.receivedAt, framing.isIntact(in: rest)
      else {
        throw StoreError(.invalid, "record \(sequence), at byte \(offset) of the commit, is not a valid record; nothing was stored")
      }
      guard framing.totalBytes <= configuration.maxRecordBytes else {
        throw StoreError(
          .invalid, "record \(sequence) takes \(framing.totalBytes) bytes; the limit is \(configuration.maxRecordBytes) (maxRecordBytes)")
      }
      checked.places.note(sequence: sequence, offset: UInt64(offset), receivedAt: commitHeader.receivedAt)
      let header = UnsafeRawBufferPointer(rebasing: rest[framing.header])
      if let first = unhashed.take() {
        let (one, other) = TreeHash.leaves(first, header)
        checked.leaves.append(one)
        checked.leaves.append(other)
      } else {
        unhashed = header
      }
      offset += framing.totalBytes
      sequence += 1
    }
    if let unhashed { checked.leaves.append(.leaf(unhashed)) }
    guard sequence == commitHeader.firstSequence + UInt64(commitHeader.count) else {
      throw StoreError(
        .invalid, "the commit says \(commitHeader.count) records and holds \(sequence - commitHeader.firstSequence); nothing was stored")
    }
    return checked
  }

  /// Number of zeros to write after a commit at `offset` that extends the file.
  private func zeroBytes(after offset: UInt64, _ recordBytes: Int) -> Int {
    guard recordBytes < configuration.smallCommitBytes else { return 0 }
    let end = offset + UInt64(CommitHeader.encodedBytes + recordBytes)
    return end < configuration.segmentBytes ? Int(min(UInt64(configuration.zeroAheadBytes), configuration.segmentBytes - end)) : 0
  }

  private func publish(_ commitHeader: CommitHeader, _ places: SparseIndex, at offset: UInt64, end: UInt64) {
    published.withLock { published in
      for place in places.places {
        let isFirst = place.sequence == commitHeader.firstSequence
        published.index.note(
          sequence: place.sequence, offset: isFirst ? offset : offset + UInt64(CommitHeader.encodedBytes) + place.offset,
          receivedAt: place.receivedAt)
      }
      published.table.setNewestBytes(end)
      published.nextSequence = commitHeader.firstSequence + UInt64(commitHeader.count)
      published.appendFailure = nil
    }
  }

  /// Begins a new segment when the commit would exceed the size limit or the clock was set back. The newest segment is sealed first. If it
  /// has no record yet, it is replaced under the same name.
  private func roll(
    _ writer: inout Writer, for recordBytes: Int, beginsStretch: Bool, state: () -> [UInt8]
  ) throws(StoreError) {
    let isEmpty = writer.nextSequence == writer.active.firstSequence
    let isFull = writer.active.end + UInt64(CommitHeader.encodedBytes + recordBytes) > configuration.segmentBytes && !isEmpty
    guard isFull || beginsStretch else { return }
    let old = writer.active
    // The next segment is created by path.
    try Self.confirmPaths(writer, directory)
    if !isEmpty { try writer.active.seal() }
    let state = state()
    guard state.count <= SegmentHeader.maxStateBytes else {
      throw StoreError(
        .invalid, "the sequencer's state takes \(state.count) bytes; a segment's header holds at most \(SegmentHeader.maxStateBytes)")
    }
    let header = SegmentHeader(
      firstSequence: writer.nextSequence, logID: identity.logID, nonce: try randomBytes(16),
      previousReceivedAt: isEmpty ? old.header.previousReceivedAt : writer.receivedAfter,
      previousBytes: isEmpty ? old.header.previousBytes : old.end, state: state, tree: tree.range.hashes.flatMap(\.bytes),
      stretch: beginsStretch ? writer.nextSequence : old.header.stretch)
    let encoded = header.encoded()
    let path = directory.segment(header.firstSequence)
    let file: any File
    do throws(DurableFileError) { file = try directory.createDurably(path, encoded) } catch {
      let mayPass = error.cause.isNoRoom || error.cause.isNoResources
      throw error.isKnownAbsent && mayPass ? .full(error.cause) : .failed(error.cause)
    }
    let isOurs: Bool
    do throws(FileSystemError) { isOurs = try file.lock() } catch { throw .failed(FileSystemError(error.call, path, error.number)) }
    guard isOurs else { throw .written(path, at: 0) }
    writer.active = ActiveSegment(
      file: file, path: path, header: header, end: UInt64(encoded.count), writtenEnd: UInt64(encoded.count), tail: encoded)
    if beginsStretch { writer.receivedAfter = 0 }
    let end = writer.active.end
    if isEmpty {
      return published.withLock { published in
        published.files.remove(header.firstSequence)
        published.forgetStretches()
        published.table.setNewestBytes(end)
      }
    }
    let sealed = published.withLock { published in
      let sealed = published.index
      published.indexes.insert(sealed, for: old.firstSequence)
      published.index = SparseIndex(spacingBytes: configuration.indexSpacingBytes)
      published.sealedBytes += old.end
      if beginsStretch { published.forgetStretches() }
      published.table.append(.init(firstSequence: header.firstSequence, bytes: end))
      return sealed
    }
    saveIndex(sealed, .init(firstSequence: old.firstSequence, bytes: old.end, nonce: old.nonce))
    background.indexer?.wake()
  }

  public func close() throws(StoreError) {
    background.stop()
    try writer.withLock { (writer) throws(StoreError) in
      guard !writer.isClosed else { return }
      writer.isClosed = true
      published.withLock { published in
        published.isClosed = true
        published.files.removeAll()
        published.indexes.removeAll()
        published.searchIndexes.removeAll()
        published.newestSearchIndex = nil
      }
      defer {
        // Others may still hold the store and so the file: give up the lock now.
        writer.active.file.unlock()
        writer.lockedDirectories = []
      }
      guard writer.failure == nil else { return }
      do throws(StoreError) { try writer.active.seal() } catch {
        // A full disk can refuse even a truncate. The zeros then stay until the next open.
        if error.code != .full { throw error }
      }
    }
  }
}
