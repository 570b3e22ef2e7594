import AuditLog
import Glibc
import SegmentStore
import Synchronization

/// A file system in memory: what is written is there. For inputs that are files, tried by the thousand.
package final class MemoryFileSystem: FileSystem {
  fileprivate final class Content: Sendable {
    let bytes: Mutex<[UInt8]>
    let readBytes = Atomic(0)
    init(_ bytes: [UInt8]) { self.bytes = Mutex(bytes) }
  }

  private let files = Mutex<[String: Content]>([:])
  /// Whether no write finds room.
  package let isFull = Atomic(false)

  package init() {}

  package init(_ contents: [String: [UInt8]]) { files.withLock { $0 = contents.mapValues { Content($0) } } }

  /// Every file, by its path.
  package var contents: [String: [UInt8]] { files.withLock { files in files.mapValues { $0.bytes.withLock { $0 } } } }

  /// How many bytes were read of the files whose names end so.
  package func readBytes(_ suffix: String) -> Int {
    files.withLock { files in
      files.reduce(0) { $1.key.hasSuffix(suffix) ? $0 + $1.value.readBytes.load(ordering: .relaxed) : $0 }
    }
  }

  package subscript(path: String) -> [UInt8]? {
    get { files.withLock { $0[path] }?.bytes.withLock { $0 } }
    set { files.withLock { $0[path] = newValue.map { Content($0) } } }
  }

  package func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any File {
    if mode == .directory { return MemoryFile(Content([]), of: self, directory: path) }
    return try files.withLock { (files) throws(FileSystemError) in
      if let content = files[path] {
        if mode == .create { throw FileSystemError("open", path, EEXIST) }
        if mode == .createOrEmpty { content.bytes.withLock { $0 = [] } }
        return MemoryFile(content, of: self)
      }
      if mode == .read || mode == .readWrite { throw FileSystemError("open", path, ENOENT) }
      let content = Content([])
      files[path] = content
      return MemoryFile(content, of: self)
    }
  }

  package func createDirectory(_ path: String) throws(FileSystemError) -> Bool { false }

  package func list(_ path: String) throws(FileSystemError) -> [String] {
    files.withLock { files in files.keys.filter { $0.hasPrefix(path + "/") }.map { String($0.dropFirst(path.count + 1)) } }
  }

  package func size(_ path: String) throws(FileSystemError) -> UInt64 {
    guard let bytes = self[path] else { throw FileSystemError("stat", path, ENOENT) }
    return UInt64(bytes.count)
  }

  package func attributes(_ path: String, followsLinks: Bool) throws(FileSystemError) -> FileAttributes {
    files.withLock { $0[path] }.map { MemoryFile($0, of: self) }?.attributes()
      ?? MemoryFile(Content([]), of: self, directory: path).attributes()
  }

  package func rename(_ path: String, to newPath: String) throws(FileSystemError) {
    files.withLock { files in files[newPath] = files.removeValue(forKey: path) }
  }

  package func remove(_ path: String) throws(FileSystemError) {
    guard files.withLock({ $0.removeValue(forKey: path) }) != nil else { throw FileSystemError("unlink", path, ENOENT) }
  }
  package func syncDirectory(_ path: String) throws(FileSystemError) {}

  private final class MemoryFile: File {
    private let content: Content
    private let system: MemoryFileSystem
    private let directory: String?

    init(_ content: Content, of system: MemoryFileSystem, directory: String? = nil) {
      self.content = content
      self.system = system
      self.directory = directory
    }

    func attributes() -> FileAttributes {
      let inode = directory.map(\.hashValue) ?? ObjectIdentifier(content).hashValue
      return FileAttributes(
        kind: directory == nil ? .file : .directory, device: 1, inode: UInt64(bitPattern: Int64(inode)), links: 1, owner: geteuid(),
        mode: 0o600)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
      content.bytes.withLock { bytes in
        guard offset < UInt64(bytes.count) else { return 0 }
        let count = min(buffer.count, bytes.count - Int(offset))
        buffer.copyBytes(from: bytes[Int(offset)..<Int(offset) + count])
        self.content.readBytes.add(count, ordering: .relaxed)
        return count
      }
    }

    func write(_ parts: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int {
      guard !system.isFull.load(ordering: .relaxed) else { throw FileSystemError("pwritev", "memory", ENOSPC) }
      let new = parts.flatMap { Array($0) }
      content.bytes.withLock { bytes in
        let end = Int(offset) + new.count
        if bytes.count < end { bytes += [UInt8](repeating: 0, count: end - bytes.count) }
        bytes.replaceSubrange(Int(offset)..<end, with: new)
      }
      return new.count
    }

    func syncData() throws(FileSystemError) {}
    func sync() throws(FileSystemError) {}

    func truncate(to size: UInt64) throws(FileSystemError) {
      content.bytes.withLock { bytes in
        let count = Int(size)
        if count < bytes.count {
          bytes.removeLast(bytes.count - count)
        } else {
          bytes += [UInt8](repeating: 0, count: count - bytes.count)
        }
      }
    }

    func size() throws(FileSystemError) -> UInt64 { UInt64(content.bytes.withLock { $0.count }) }
    func lock() throws(FileSystemError) -> Bool { true }
    func forgetCache() {}
  }
}
