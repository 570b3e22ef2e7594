import AuditLog
import AuditSchema
import Logging
import MerkleTree
import Synchronization

/// Keeps the log in files of one directory on a local disk: `RecordStore` for a single server.
///
/// A log is a row of segments. A segment is a file of commits, each of which was one write and one sync; only the newest grows. What is on
/// disk, byte by byte, and what recovery makes of it after a crash stands in FORMAT.md.
///
/// Life cycle: `open` takes the directory's lock, brings the newest segment to its last whole commit and tells what there is (`start`);
/// then one thread appends while any number read; `close` leaves the files without slack, where there is room for the cut. A store that is dropped without `close`, or a
/// process that is killed, costs the next `open` nothing but the reading of the newest segment.
///
/// Where to read on: `ActiveSegment` writes, `Recovery` decides what survived, `SegmentReads` finds and checks what is read,
/// `SegmentSearch` tells what a filtered read may pass over, `FileSystem` is all that touches a disk. This target imports `AuditLog` for the
/// protocol and `AuditSchema` for the shapes of header, commit header and record; it never looks into an event: what a search index knows of one is
/// hashes that `AuditSchema` made.
public final class SegmentStore: RecordStore {
  /// What readers see. Held for a few instructions at a time, never during a call to the disk.
  struct Published: ~Copyable {
    var table: SegmentTable
    var nextSequence: UInt64
    /// Of the newest segment.
    var index: SparseIndex
    var files: BoundedCache<OpenSegment>
    var indexes: BoundedCache<SparseIndex>
    var searchIndexes: BoundedCache<SearchIndex>
    var newestSearchIndex: NewestSearchIndex?
    /// Bytes of all segments but the newest.
    var sealedBytes: UInt64
    /// The rows of the table with which the stretches of time begin, once somebody has looked.
    var stretches: [Int]?
    /// Changes with each new stretch.
    var stretchVersion = 0

    mutating func forgetStretches() {
      stretches = nil
      stretchVersion += 1
    }
    var appendFailure: StoreError?
    var isClosed = false
  }

  /// What the appending thread has. Held for the whole of an append.
  struct Writer: ~Copyable {
    var active: ActiveSegment
    var nextSequence: UInt64
    /// The next commit's time is after this one, unless the clock is set back.
    var receivedAfter: UInt64
    var failure: StoreError?
    /// Why it is not known any more whether the paths lead to what is open. Final, as a failed sync is: appending has ended with it.
    var placeFailure: StoreError?
    var isClosed = false
    /// The data directory, and that of the checkpoints where it is another one: holding the files is holding their locks.
    var held: [Held]
  }

  /// A directory that is open, and how it was named.
  struct Held: Sendable {
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
    /// How many were carried out.
    var count: UInt64 = 0
  }
  /// Held while a record is overwritten.
  let erasures: Mutex<Erasures>
  let writer: Mutex<Writer>
  let published: Mutex<Published>
  let background = BackgroundWork()
  private let syncDurations = DurationHistogram()

  /// Opens the log in `directory`, which is made when it is missing, and begins one when there is none.
  ///
  /// - Throws: `.locked` when another process has it, `.damaged` when something is not what was acknowledged, `.unusable` when the
  ///   directory cannot be used for another reason.
  public static func open(
    directory: String, configuration: SegmentStoreConfiguration = .init(), logger: Logger
  ) throws(StoreError) -> SegmentStore {
    try SegmentStore(directory: directory, configuration: configuration, fileSystem: PosixFileSystem(), logger: logger)
  }

  package init(
    directory path: String, configuration: SegmentStoreConfiguration, fileSystem: any FileSystem, logger: Logger
  ) throws(StoreError) {
    let directory = DataDirectory(root: path, fileSystem: fileSystem)
    var held = [Held(path: path, file: try directory.prepare())]
    identity = try directory.openIdentity(configuration)
    let checkpointPath = configuration.checkpoints ?? directory.checkpoints
    held.append(Held(path: checkpointPath, file: try directory.holdCheckpoints(checkpointPath)))
    checkpoints = try CheckpointFiles(.signed, path: checkpointPath, directory: directory)
    cosignedCheckpoints = try CheckpointFiles(.cosigned, path: checkpointPath, directory: directory)
    let tornBytes = checkpoints.tornBytes + cosignedCheckpoints.tornBytes
    if tornBytes > 0 {
      logger.warning(
        """
        the last checkpoint is not whole and was cut: a write that a crash cut short, which nobody was shown, or damage; whoever has kept a later \
        checkpoint can tell (hubaudit verify --since)
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
        "the end of the newest segment was torn; it was cut and kept aside",
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
      Writer(active: found.active, nextSequence: found.nextSequence, receivedAfter: found.receivedAfter, held: held))
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

  /// What a look at a commit's records found.
  private struct Checked: Sendable {
    /// What the index may want to know, with offsets counted from the commit's first record.
    var places: SparseIndex
    /// The records' leaf hashes.
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
        // The header of its segment says that time begins anew.
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

  /// Looks whether the paths still lead to what is open, and whether the newest segment ends as it was left. Where they do not, appending has ended.
  func confirmPlace() throws(StoreError) {
    try writer.withLock { (writer) throws(StoreError) in
      if writer.isClosed { throw Self.closed }
      if let failure = writer.placeFailure { throw failure }
      do throws(StoreError) {
        try Self.confirmPlace(writer, directory)
        if writer.failure == nil { try writer.active.confirmEnd() }
      } catch {
        writer.placeFailure = error
        if writer.failure == nil {
          logger.critical("appending has ended", metadata: ["reason": "\(error.message)"])
          writer.failure = error
          published.withLock { $0.appendFailure = error }
        }
        throw error
      }
    }
  }

  private static func confirmPlace(_ writer: borrowing Writer, _ directory: DataDirectory) throws(StoreError) {
    for held in writer.held { try confirm(held.path, held.file, followsLinks: true, directory) }
    try confirm(writer.active.path, writer.active.file, followsLinks: false, directory)
  }

  private static func confirm(_ path: String, _ file: any File, followsLinks: Bool, _ directory: DataDirectory) throws(StoreError) {
    let isSame: Bool
    do throws(FileSystemError) {
      isSame = try directory.fileSystem.attributes(path, followsLinks: followsLinks).isSameFile(as: try file.attributes())
    } catch {
      // No memory for the call says nothing about the place.
      if error.isNoResources { return }
      throw error.isAbsence ? .displaced(path, "cannot be found any more (\(error))") : .unconfirmed(path, error)
    }
    guard isSame else { throw .displaced(path, "is not what this server has open any more") }
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

  /// Makes sure that the commit can be read back: a fault of its encoder must not become damage on disk.
  private func check(_ commitHeader: CommitHeader, _ records: UnsafeRawBufferPointer) throws(StoreError) -> Checked {
    var checked = Checked(places: SparseIndex(spacingBytes: configuration.indexSpacingBytes))
    checked.leaves.reserveCapacity(Int(commitHeader.count))
    var offset = 0
    var sequence = commitHeader.firstSequence
    // Hashed two at a time.
    var unhashed: UnsafeRawBufferPointer?
    while offset < records.count {
      let rest = UnsafeRawBufferPointer(rebasing: records[offset...])
      guard let framing = RecordFraming(head: rest), framing.totalBytes <= rest.count, framing.sequence == sequence,
        framing.receivedAt == commitHeader.receivedAt, framing.isIntact(in: rest)
      else {
        throw StoreError(.invalid, "record \(sequence) of the commit, at its byte \(offset), is not a sealed record; nothing was stored")
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

  /// How many zeros a commit at `offset` brings with it when it makes the file longer.
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

  /// Seals the newest segment and begins the next one, when the commit would make it too large, or the clock was set back before it. Where the
  /// newest one has no record yet, it is made again.
  private func roll(
    _ writer: inout Writer, for recordBytes: Int, beginsStretch: Bool, state: () -> [UInt8]
  ) throws(StoreError) {
    let isEmpty = writer.nextSequence == writer.active.firstSequence
    let isFull = writer.active.end + UInt64(CommitHeader.encodedBytes + recordBytes) > configuration.segmentBytes && !isEmpty
    guard isFull || beginsStretch else { return }
    let old = writer.active
    // The next segment gets its name by its path.
    try Self.confirmPlace(writer, directory)
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
      throw error.isSettled && mayPass ? .full(error.cause) : .failed(error.cause)
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
        // Whoever still holds the store holds the file with it.
        writer.active.file.unlock()
        writer.held = []
      }
      guard writer.failure == nil else { return }
      do throws(StoreError) { try writer.active.seal() } catch {
        // Where the disk is too full even for a cut, the slack stays until the next open.
        if error.code != .full { throw error }
      }
    }
  }
}
