import Glibc
import SegmentStore
import TestSupport

/// A disk in memory that promises what POSIX does and no more: of what was not synced, any part may be lost in a crash.
///
/// Each test has its own and uses it from one thread: hence `@unchecked`.
final class SimulatedDisk: FileSystem, @unchecked Sendable {
  var state: SimulatedState
  fileprivate var locked: Set<Int> = []
  /// Called before each call that changes something, with its name and path. What it throws is thrown instead.
  var beforeChange: ((_ call: String, _ path: String) throws(FileSystemError) -> Void)?
  /// Decides what a sync that fails leaves on the disk.
  var random = SeededRandom(seed: 0)

  init(_ state: SimulatedState = SimulatedState()) { self.state = state }

  /// The machine starts again and finds this on its disk. No file may be open.
  func restart(with state: SimulatedState) { self.state = state }

  fileprivate func changes(_ call: String, _ path: String) throws(FileSystemError) {
    if let beforeChange { try beforeChange(call, path) }
  }

  /// The path of the directory, and the name in it.
  static func split(_ path: String) -> (directory: Substring, name: Substring) {
    let slash = path.lastIndex(of: "/")!
    return (slash == path.startIndex ? "/" : path[..<slash], path[path.index(after: slash)...])
  }

  private func directory(_ path: Substring, _ call: String) throws(FileSystemError) -> Int {
    guard let index = state.directoryIndex(path) else { throw FileSystemError(call, String(path), ENOENT) }
    return index
  }

  private func file(_ path: String, _ call: String) throws(FileSystemError) -> Int {
    let (parent, name) = Self.split(path)
    switch state.directories[try directory(parent, call)].current[String(name)] {
    case .file(let id): return id
    case .directory: throw FileSystemError(call, path, EISDIR)
    case nil: throw FileSystemError(call, path, ENOENT)
    }
  }

  func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any File {
    if case .directory = mode { return SimulatedFile(self, Self.number(ofDirectory: try directory(path[...], "open")), path) }
    let (parent, name) = Self.split(path)
    let found = state.directories[try directory(parent, "open")].current[String(name)]
    if case .file(let id) = found {
      if case .create = mode { throw FileSystemError("open", path, EEXIST) }
      if case .createOrEmpty = mode {
        try changes("open", path)
        state.files[id].truncate(to: 0)
      }
      return SimulatedFile(self, id, path)
    }
    guard found == nil else { throw FileSystemError("open", path, EISDIR) }
    switch mode {
    case .read, .readWrite: throw FileSystemError("open", path, ENOENT)
    case .create, .createOrEmpty, .createOrOpen: break
    case .directory: preconditionFailure("opened before")
    }
    try changes("open", path)
    state.files.append(SimulatedFileContent())
    let id = state.files.count - 1
    state.directories[try directory(parent, "open")].link(String(name), .file(id))
    return SimulatedFile(self, id, path)
  }

  func createDirectory(_ path: String) throws(FileSystemError) -> Bool {
    if state.directoryIndex(path[...]) != nil { return false }
    let (parent, name) = Self.split(path)
    let index = try directory(parent, "mkdir")
    try changes("mkdir", path)
    state.directories[index].link(String(name), .directory)
    state.directories.append(.init(path: path))
    return true
  }

  func list(_ path: String) throws(FileSystemError) -> [String] {
    state.directories[try directory(path[...], "opendir")].current.keys.sorted()
  }

  func size(_ path: String) throws(FileSystemError) -> UInt64 { UInt64(state.files[try file(path, "stat")].current.count) }

  /// Files have the numbers from 0 on.
  private static func number(ofDirectory index: Int) -> Int { -1 - index }

  func attributes(_ path: String, followsLinks: Bool) throws(FileSystemError) -> FileAttributes {
    if let index = state.directoryIndex(path[...]) { return attributes(Self.number(ofDirectory: index)) }
    return attributes(try file(path, "stat"))
  }

  fileprivate func attributes(_ id: Int) -> FileAttributes {
    FileAttributes(
      kind: id < 0 ? .directory : .file, device: 1, inode: UInt64(bitPattern: Int64(id)), links: 1, owner: geteuid(),
      mode: id < 0 ? 0o700 : 0o600)
  }

  func rename(_ path: String, to newPath: String) throws(FileSystemError) {
    _ = try file(path, "rename")
    try changes("rename", path)
    state.directories[try directory(Self.split(path).directory, "rename")]
      .rename(String(Self.split(path).name), to: String(Self.split(newPath).name))
  }

  func remove(_ path: String) throws(FileSystemError) {
    _ = try file(path, "unlink")
    try changes("unlink", path)
    state.directories[try directory(Self.split(path).directory, "unlink")].unlink(String(Self.split(path).name))
  }

  func syncDirectory(_ path: String) throws(FileSystemError) {
    let index = try directory(path[...], "fsync")
    try changes("fsync", path)
    state.directories[index].sync()
  }
}

/// For tests that look at files, or damage them, without a store.
extension SimulatedDisk {
  func bytes(_ path: String) throws -> [UInt8] { state.files[try file(path, "read")].current }

  func damage(_ path: String, _ change: (inout [UInt8]) -> Void) throws { state.files[try file(path, "write")].damage(change) }
}

final class SimulatedFile: File, @unchecked Sendable {
  private let disk: SimulatedDisk
  private let id: Int
  private let path: String
  private var isLocked = false

  init(_ disk: SimulatedDisk, _ id: Int, _ path: String) {
    self.disk = disk
    self.id = id
    self.path = path
  }

  deinit { if isLocked { disk.locked.remove(id) } }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
    disk.state.files[id].current.withUnsafeBytes { content in
      guard offset < UInt64(content.count) else { return 0 }
      let part = UnsafeRawBufferPointer(rebasing: content[Int(offset)...].prefix(buffer.count))
      buffer.copyMemory(from: part)
      return part.count
    }
  }

  func write(_ parts: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int {
    try disk.changes("pwritev", path)
    disk.state.files[id].write(parts, at: Int(offset))
    return parts.reduce(0) { $0 + $1.count }
  }

  func syncData() throws(FileSystemError) {
    try disk.changes("fdatasync", path)
    disk.state.files[id].sync()
  }

  func sync() throws(FileSystemError) {
    try disk.changes("fsync", path)
    disk.state.files[id].sync()
  }

  func truncate(to size: UInt64) throws(FileSystemError) {
    try disk.changes("ftruncate", path)
    disk.state.files[id].truncate(to: Int(size))
  }

  func size() throws(FileSystemError) -> UInt64 { UInt64(disk.state.files[id].current.count) }

  func attributes() throws(FileSystemError) -> FileAttributes { disk.attributes(id) }

  func lock() throws(FileSystemError) -> Bool {
    guard disk.locked.insert(id).inserted else { return isLocked }
    isLocked = true
    return true
  }

  func unlock() {
    if isLocked { disk.locked.remove(id) }
    isLocked = false
  }

  /// What the kernel makes of a sync that fails: some of the content is on the disk, all of it counts as clean, and who reads may go on
  /// seeing it, or not.
  func failSync() {
    var choices = CrashChoices(random: &disk.random)
    disk.state.files[id].failSync(&choices)
    if disk.random.oneIn(2) { disk.state.files[id].dropCleanPages() }
  }
}
