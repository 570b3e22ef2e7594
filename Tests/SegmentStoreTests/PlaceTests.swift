import AuditLog
import AuditSchema
import Foundation
import Logging
import SegmentStore
import Testing

/// A data directory that others touch while a store has it.
@Suite final class PlaceTests {
  let fixture = StoreFixture()
  let elsewhere = FileManager.default.temporaryDirectory.appendingPathComponent("elsewhere-\(UUID().uuidString)").path

  deinit { try? FileManager.default.removeItem(atPath: elsewhere) }

  // MARK: Two servers

  /// A process that has a file's lock, as another server would.
  private func locking(_ path: String, _ body: () throws -> Void) throws {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    #expect(descriptor >= 0 && flock(descriptor, LOCK_EX | LOCK_NB) == 0)
    defer { close(descriptor) }
    try body()
  }

  @Test("a directory in use is refused whatever is removed from it or whatever it is called, and the refusal names no file to remove")
  func directoryInUse() throws {
    let store = try fixture.open()
    try store.append(3)
    for name in ["server.pid", "LOCK"] { try? fixture.remove("\(fixture.path)/\(name)") }
    var error = try storeError { _ = try fixture.open() }
    #expect(error.code == .locked && !error.message.contains("LOCK") && !error.message.contains(".pid"), "\(error)")
    try FileManager.default.moveItem(atPath: fixture.path, toPath: elsewhere)
    error = try storeError {
      _ = try SegmentStore.open(directory: elsewhere, configuration: fixture.configuration, logger: .init(label: "test"))
    }
    #expect(error.code == .locked, "\(error)")
    try FileManager.default.moveItem(atPath: elsewhere, toPath: fixture.path)
    try store.append(3)
    try store.close()
    #expect(try fixture.open().nextSequence == 6)
  }

  @Test("the lock is the directory's own, the newest segment's, and that of the checkpoints, wherever they are")
  func locks() throws {
    fixture.configuration.checkpoints = elsewhere
    try fixture.fill(40)
    let newest = try #require(try fixture.segments().last)
    for path in [fixture.path, fixture.segment(newest), elsewhere] {
      try locking(path) {
        let before = try fixture.snapshot()
        #expect(try storeError { _ = try fixture.open() }.code == .locked, "\(path)")
        #expect(try fixture.snapshot() == before)
      }
    }
    let store = try fixture.open()
    while try fixture.segments().last == newest { try store.append(2) }
    for path in [fixture.path, fixture.segment(try fixture.segments().last!), elsewhere] {
      let descriptor = open(path, O_RDONLY | O_CLOEXEC)
      defer { close(descriptor) }
      #expect(flock(descriptor, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK, "\(path)")
    }
  }

  // MARK: Who knows of no locks

  @Test(
    "what something else wrote into the newest segment is noticed before an append is acknowledged",
    arguments: [0, 1024],
    ["a commit behind the last", "the last record", "zeros behind the end", "a shorter file", "a longer file"])
  func foreignWrite(zeroAheadBytes: Int, change: String) throws {
    fixture.configuration.zeroAheadBytes = zeroAheadBytes
    let store = try fixture.open()
    try store.append(2)
    try store.append(2)
    let records = try store.records()
    let path = fixture.segment(0)
    let end = try fixture.commits(in: path).end
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    var isForeign = true
    switch change {
    case "a commit behind the last":
      try handle.seek(toOffset: UInt64(end))
      try handle.write(contentsOf: Data([0x12, 0x25, 0x09]))
    case "the last record":
      try handle.seek(toOffset: UInt64(end - 4))
      try handle.write(contentsOf: Data([1, 2, 3, 4]))
    case "a shorter file": try handle.truncate(atOffset: UInt64(end - 10))
    case "a longer file":
      let size = try handle.seekToEnd()
      try handle.write(contentsOf: Data(repeating: 0, count: 8))
      isForeign = size == UInt64(end)
    default: isForeign = false
    }
    try handle.close()
    guard isForeign else { return try store.append(2) }
    let error = try storeError { try store.append(2) }
    #expect(error.code == .failed && error.message.contains(path) && error.message.contains("something else writes to it"), "\(error)")
    #expect(store.nextSequence == 4 && store.status.appendFailure?.code == .failed)
    #expect(try storeError { try store.append(1) }.message == error.message)
    if change == "a commit behind the last" || change == "a longer file" { #expect(try store.records() == records) }
  }

  @Test("two stores that do not see each other's locks: the second to append is told, and nothing that was acknowledged is overwritten")
  func twoBlindStores() throws {
    fixture.fileSystem = BlindFileSystem()
    let one = try fixture.open()
    let other = try fixture.open()
    try one.append(3)
    let acknowledged = try one.records()
    #expect(try storeError { try other.append(3) }.code == .failed)
    #expect(try one.records() == acknowledged)
    try one.append(3)
    #expect(try one.records().count == 6)
  }

  // MARK: The place

  static let moves = ["removed", "moved away", "replaced by an empty directory", "replaced by a copy", "its segments removed"]

  private func move(_ how: String) throws {
    let files = FileManager.default
    switch how {
    case "removed": try files.removeItem(atPath: fixture.path)
    case "moved away": try files.moveItem(atPath: fixture.path, toPath: elsewhere)
    case "replaced by an empty directory":
      try files.moveItem(atPath: fixture.path, toPath: elsewhere)
      try files.createDirectory(atPath: fixture.path, withIntermediateDirectories: false)
    case "replaced by a copy":
      try files.moveItem(atPath: fixture.path, toPath: elsewhere)
      try files.copyItem(atPath: elsewhere, toPath: fixture.path)
    default: for first in try fixture.segments() { try fixture.remove(fixture.segment(first)) }
    }
  }

  @Test("a directory that is not where it was is noticed without an append: the status says so, and appends are refused", arguments: moves)
  func watched(how: String) throws {
    fixture.configuration.placeCheckInterval = .milliseconds(1)
    let store = try fixture.open()
    try store.append(2)
    try move(how)
    let deadline = ContinuousClock.now + .seconds(60)
    while store.status.appendFailure == nil, ContinuousClock.now < deadline { usleep(1000) }
    let failure = try #require(store.status.appendFailure)
    #expect(
      failure.code == .failed && failure.message.contains(fixture.path) && failure.message.contains("/proc/\(getpid())/fd"), "\(failure)")
    #expect(try storeError { try store.append(2) }.message == failure.message)
    #expect(store.nextSequence == 2)
    try store.close()
  }

  @Test("nothing that goes by its path gets into another directory: no segment, no checkpoint, no erasure", arguments: moves)
  func nothingElsewhere(how: String) throws {
    let store = try fixture.open()
    try store.append(2)
    while store.status.bytes < 3600 { try store.append(2) }
    try move(how)
    let before = try fixture.snapshot()
    let checkpoint = StoredCheckpoint(size: 2, storedAt: 1, note: [1])
    #expect(try storeError { try store.order(Erasure(sequence: 0, logSize: 2, note: [])) }.code == .failed)
    #expect(try storeError { try store.erase(Erasure(sequence: 0, logSize: 2, note: [])) }.code == .failed)
    #expect(try storeError { try store.store(checkpoint) }.code == .failed)
    #expect(try storeError { try store.store(cosigned: checkpoint) }.code == .failed)
    #expect(try storeError { try store.append(2, textBytes: 800) }.code == .failed)
    #expect(try fixture.snapshot() == before)
    try store.close()
    #expect(try fixture.snapshot() == before)
  }

  @Test("a new segment is not begun in another directory", arguments: moves)
  func noSegmentElsewhere(how: String) throws {
    let store = try fixture.open()
    while store.status.bytes < 3600 { try store.append(2) }
    try move(how)
    let before = try fixture.snapshot()
    #expect(try storeError { try store.append(2, textBytes: 800) }.code == .failed)
    #expect(try fixture.snapshot() == before)
  }

  // MARK: Links and others' directories

  @Test(
    "a link within the directory is not followed: the start is refused, and what it leads to stays as it was",
    arguments: ["server.pid", "log.json.new", "log.json", "segments", "index", "tree", "torn", "erasures", "checkpoints", "segment"])
  func links(name: String) throws {
    if name != "log.json.new" {
      try fixture.fill(2)
    } else {
      try FileManager.default.createDirectory(
        atPath: fixture.path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    }
    let path = name == "segment" ? fixture.segment(0) : "\(fixture.path)/\(name)"
    if FileManager.default.fileExists(atPath: path) {
      try FileManager.default.moveItem(atPath: path, toPath: elsewhere)
    } else {
      try fixture.write(Array("somebody's".utf8), to: elsewhere)
    }
    let content = try? fixture.bytes(elsewhere)
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: elsewhere)
    // That file is for people only: it is left alone.
    if name == "server.pid" {
      try fixture.open().close()
    } else {
      let error = try storeError { _ = try fixture.open() }
      #expect(error.code == .unusable && error.message.contains("link"), "\(error)")
    }
    if let content { #expect(try fixture.bytes(elsewhere) == content) }
  }

  @Test("a directory that others may write to is refused with the command that mends it, and one that they may read is not")
  func modes() throws {
    try fixture.fill(2)
    for name in ["", "/segments", "/checkpoints"] {
      for (mode, isGood) in [(0o777, false), (0o720, false), (0o755, true), (0o700, true)] {
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: fixture.path + name)
        guard !isGood else {
          try fixture.open().close()
          continue
        }
        let error = try storeError { _ = try fixture.open() }
        #expect(error.code == .unusable && error.message.contains("chmod go-w \(fixture.path)\(name)"), "\(error)")
      }
    }
  }

  @Test("a directory of another user is refused", .enabled(if: geteuid() == 0))
  func owner() throws {
    try fixture.fill(2)
    #expect(chown(fixture.path, 12345, 12345) == 0)
    let error = try storeError { _ = try fixture.open() }
    #expect(error.code == .unusable && error.message.contains("12345"), "\(error)")
  }
}

/// A file system on which locks are not seen, as between machines that share a disk.
private struct BlindFileSystem: FileSystem {
  private let inner = PosixFileSystem()

  func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any File { BlindFile(try inner.open(path, mode)) }
  func createDirectory(_ path: String) throws(FileSystemError) -> Bool { try inner.createDirectory(path) }
  func list(_ path: String) throws(FileSystemError) -> [String] { try inner.list(path) }
  func attributes(_ path: String, followsLinks: Bool) throws(FileSystemError) -> FileAttributes {
    try inner.attributes(path, followsLinks: followsLinks)
  }
  func size(_ path: String) throws(FileSystemError) -> UInt64 { try inner.size(path) }
  func rename(_ path: String, to newPath: String) throws(FileSystemError) { try inner.rename(path, to: newPath) }
  func remove(_ path: String) throws(FileSystemError) { try inner.remove(path) }
  func syncDirectory(_ path: String) throws(FileSystemError) { try inner.syncDirectory(path) }

  private final class BlindFile: File {
    private let inner: any File
    init(_ inner: any File) { self.inner = inner }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
      try inner.read(into: buffer, at: offset)
    }
    func write(_ parts: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int { try inner.write(parts, at: offset) }
    func syncData() throws(FileSystemError) { try inner.syncData() }
    func sync() throws(FileSystemError) { try inner.sync() }
    func truncate(to size: UInt64) throws(FileSystemError) { try inner.truncate(to: size) }
    func size() throws(FileSystemError) -> UInt64 { try inner.size() }
    func attributes() throws(FileSystemError) -> FileAttributes { try inner.attributes() }
    func lock() throws(FileSystemError) -> Bool { true }
  }
}
