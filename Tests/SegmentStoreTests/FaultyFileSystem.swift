import Glibc
import SegmentStore
import Synchronization

/// The machine's file system with calls that fail on demand.
final class FaultyFileSystem: FileSystem {
  struct Rule: Sendable {
    /// Name of the call, as in `FileSystemError.call`.
    var call: String
    /// A part of the path that it is for.
    var path: String
    /// How many such calls go well before one fails.
    var after = 0
    var error: Int32 = EIO
    /// Whether only one call fails.
    var once = true
    /// Instead of failing, or before it: how many bytes of the write get to the disk.
    var shortBytes: Int?
    /// A short write without an error.
    var isShortOnly = false
  }

  private let inner = PosixFileSystem()
  /// Whether syncs reach the disk; tests that open a store thousands of times do without.
  let syncs: Bool
  private let rules = Mutex<[Rule]>([])
  /// How many calls were made, by name.
  private let calls = Mutex<[String: Int]>([:])

  init(syncs: Bool = true) { self.syncs = syncs }

  func fail(_ rule: Rule) { rules.withLock { $0.append(rule) } }
  func heal() { rules.withLock { $0 = [] } }
  func count(_ call: String) -> Int { calls.withLock { $0[call, default: 0] } }

  /// The rule that strikes this call.
  func strike(_ call: String, _ path: String) -> Rule? {
    calls.withLock { $0[call, default: 0] += 1 }
    return rules.withLock { rules in
      guard let index = rules.firstIndex(where: { $0.call == call && path.contains($0.path) }) else { return nil }
      guard rules[index].after == 0 else {
        rules[index].after -= 1
        return nil
      }
      defer { if rules[index].once { rules.remove(at: index) } }
      return rules[index]
    }
  }

  private func check(_ call: String, _ path: String) throws(FileSystemError) {
    if let rule = strike(call, path) { throw FileSystemError(call, path, rule.error) }
  }

  func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any File {
    try check("open", path)
    return FaultyFile(try inner.open(path, mode), path: path, fileSystem: self)
  }
  func createDirectory(_ path: String) throws(FileSystemError) -> Bool {
    try check("mkdir", path)
    return try inner.createDirectory(path)
  }
  func list(_ path: String) throws(FileSystemError) -> [String] { try inner.list(path) }
  func size(_ path: String) throws(FileSystemError) -> UInt64 { try inner.size(path) }
  func rename(_ path: String, to newPath: String) throws(FileSystemError) {
    try check("rename", path)
    try inner.rename(path, to: newPath)
  }
  func remove(_ path: String) throws(FileSystemError) { try inner.remove(path) }
  func syncDirectory(_ path: String) throws(FileSystemError) {
    try check("fsync", path)
    if syncs { try inner.syncDirectory(path) }
  }
}

final class FaultyFile: File {
  private let inner: any File
  private let path: String
  private let fileSystem: FaultyFileSystem

  init(_ inner: any File, path: String, fileSystem: FaultyFileSystem) {
    self.inner = inner
    self.path = path
    self.fileSystem = fileSystem
  }

  private func check(_ call: String) throws(FileSystemError) {
    if let rule = fileSystem.strike(call, path) { throw FileSystemError(call, path, rule.error) }
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
    try check("pread")
    return try inner.read(into: buffer, at: offset)
  }

  func write(_ parts: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int {
    guard let rule = fileSystem.strike("pwritev", path) else { return try inner.write(parts, at: offset) }
    var written = 0
    if let shortBytes = rule.shortBytes {
      let bytes = Array(parts.joined().prefix(shortBytes))
      written = try bytes.withUnsafeBufferPointer { (bytes) throws(FileSystemError) in
        try inner.write([UnsafeRawBufferPointer(bytes)], at: offset)
      }
      if rule.isShortOnly { return written }
    }
    throw FileSystemError("pwritev", path, rule.error)
  }

  func syncData() throws(FileSystemError) {
    try check("fdatasync")
    if fileSystem.syncs { try inner.syncData() }
  }
  func sync() throws(FileSystemError) {
    try check("fsync")
    if fileSystem.syncs { try inner.sync() }
  }
  func truncate(to size: UInt64) throws(FileSystemError) {
    try check("ftruncate")
    try inner.truncate(to: size)
  }
  func size() throws(FileSystemError) -> UInt64 { try inner.size() }
  func lock() throws(FileSystemError) -> Bool { try inner.lock() }
}
