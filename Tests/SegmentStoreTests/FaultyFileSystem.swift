import Glibc
import SegmentStore
import Synchronization

/// A file system with calls that fail on demand.
final class FaultyFileSystem: FileSystem {
  struct Rule: Sendable {
    /// Names of calls, as in `FileSystemError.call`; none: any call.
    var calls: Set<String>
    /// A part of the path that it is for; empty: any path.
    var path: String
    /// How many such calls go well before one fails.
    var after = 0
    var error: Int32 = EIO
    /// Whether only one call fails.
    var once = true
    /// Instead of failing, or before it: how many bytes of the read or write get through.
    var shortBytes: Int?
    /// A short read or write without an error.
    var isShortOnly = false

    init(
      call: String? = nil, path: String = "", after: Int = 0, error: Int32 = EIO, once: Bool = true, shortBytes: Int? = nil,
      isShortOnly: Bool = false
    ) {
      self.init(
        calls: call.map { [$0] } ?? [], path: path, after: after, error: error, once: once, shortBytes: shortBytes,
        isShortOnly: isShortOnly)
    }

    init(
      calls: Set<String>, path: String = "", after: Int = 0, error: Int32 = EIO, once: Bool = true, shortBytes: Int? = nil,
      isShortOnly: Bool = false
    ) {
      self.calls = calls
      self.path = path
      self.after = after
      self.error = error
      self.once = once
      self.shortBytes = shortBytes
      self.isShortOnly = isShortOnly
    }
  }

  struct Strike: Sendable {
    var call: String
    var path: String
    var rule: Rule
  }

  private let inner: any FileSystem
  /// Whether syncs reach the disk; tests that open a store thousands of times do without.
  let syncs: Bool
  private let rules = Mutex<[Rule]>([])
  /// How many calls were made, by name.
  private let calls = Mutex<[String: Int]>([:])
  private let strikes = Mutex<[Strike]>([])

  init(_ inner: any FileSystem = PosixFileSystem(), syncs: Bool = true) {
    self.inner = inner
    self.syncs = syncs
  }

  func fail(_ rule: Rule) { rules.withLock { $0.append(rule) } }
  func heal() { rules.withLock { $0 = [] } }
  func count(_ call: String) -> Int { calls.withLock { $0[call, default: 0] } }
  /// The calls that a rule has struck.
  var struck: [Strike] { strikes.withLock { $0 } }

  /// The rule that strikes this call.
  func strike(_ call: String, _ path: String) -> Rule? {
    calls.withLock { $0[call, default: 0] += 1 }
    let struck: Rule? = rules.withLock { rules in
      let index = rules.firstIndex { rule in
        (rule.calls.isEmpty || rule.calls.contains(call)) && (rule.path.isEmpty || path.contains(rule.path))
      }
      guard let index else { return nil }
      guard rules[index].after == 0 else {
        rules[index].after -= 1
        return nil
      }
      defer { if rules[index].once { rules.remove(at: index) } }
      return rules[index]
    }
    if let struck { strikes.withLock { $0.append(Strike(call: call, path: path, rule: struck)) } }
    return struck
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
  func list(_ path: String) throws(FileSystemError) -> [String] {
    try check("opendir", path)
    return try inner.list(path)
  }
  func size(_ path: String) throws(FileSystemError) -> UInt64 {
    try check("stat", path)
    return try inner.size(path)
  }
  func attributes(_ path: String, followsLinks: Bool) throws(FileSystemError) -> FileAttributes {
    try check("stat", path)
    return try inner.attributes(path, followsLinks: followsLinks)
  }
  func rename(_ path: String, to newPath: String) throws(FileSystemError) {
    try check("rename", path)
    try inner.rename(path, to: newPath)
  }
  func remove(_ path: String) throws(FileSystemError) {
    try check("unlink", path)
    try inner.remove(path)
  }
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
    guard let rule = fileSystem.strike(call, path) else { return }
    if call == "fdatasync" || call == "fsync" { (inner as? SimulatedFile)?.failSync() }
    throw FileSystemError(call, path, rule.error)
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
    guard let rule = fileSystem.strike("pread", path) else { return try inner.read(into: buffer, at: offset) }
    guard let shortBytes = rule.shortBytes, rule.isShortOnly else { throw FileSystemError("pread", path, rule.error) }
    return try inner.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(shortBytes)), at: offset)
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
  func size() throws(FileSystemError) -> UInt64 {
    try check("fstat")
    return try inner.size()
  }
  func attributes() throws(FileSystemError) -> FileAttributes {
    try check("fstat")
    return try inner.attributes()
  }
  func unlock() { inner.unlock() }
  func lock() throws(FileSystemError) -> Bool {
    try check("flock")
    return try inner.lock()
  }
}
