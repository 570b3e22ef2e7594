/// The file system as the store uses it. All access to a disk goes through here.
///
/// Its promises are those of POSIX: any part of a write may be lost until `syncData` or `sync` of the file has returned. A name that was
/// created, changed or removed may be lost until `syncDirectory` of its directory has returned.
package protocol FileSystem: Sendable {
  func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any File
  /// Creates a directory with mode 0700. Returns `false` when one exists.
  func createDirectory(_ path: String) throws(FileSystemError) -> Bool
  /// The names in a directory, without "." and "..", in no order.
  func list(_ path: String) throws(FileSystemError) -> [String]
  /// Attributes of what is at `path` now. A link at the end of the path is followed only if `followsLinks`.
  func attributes(_ path: String, followsLinks: Bool) throws(FileSystemError) -> FileAttributes
  /// Size of a file in bytes.
  func size(_ path: String) throws(FileSystemError) -> UInt64
  /// Renames a file within its directory and replaces an existing file.
  func rename(_ path: String, to newPath: String) throws(FileSystemError)
  func remove(_ path: String) throws(FileSystemError)
  func syncDirectory(_ path: String) throws(FileSystemError)
}

package enum FileOpenMode: Sendable {
  case read
  case readWrite
  /// For reading and writing; fails with EEXIST when the file exists.
  case create
  /// For reading and writing; an existing file is emptied.
  case createOrEmpty
  /// For reading and writing; an existing file is kept.
  case createOrOpen
  /// A directory, only for its lock and attributes. A link is followed.
  case directory
}

/// Attributes of a file, whatever its name.
package struct FileAttributes: Sendable {
  package enum Kind: Sendable { case file, directory, link, other }

  package var kind: Kind
  /// Device and inode: no two files that exist at the same time share both.
  package var device: UInt64
  package var inode: UInt64
  /// Number of names (hard links); 0 once it was removed.
  package var links: UInt64
  /// User id.
  package var owner: UInt32
  /// Permission bits.
  package var mode: UInt32

  package init(kind: Kind, device: UInt64, inode: UInt64, links: UInt64, owner: UInt32, mode: UInt32) {
    self.kind = kind
    self.device = device
    self.inode = inode
    self.links = links
    self.owner = owner
    self.mode = mode
  }

  package func isSameFile(as other: FileAttributes) -> Bool { device == other.device && inode == other.inode }
}

/// An open file. It is closed when its last reference is gone.
package protocol File: AnyObject, Sendable {
  /// Reads at most `buffer.count` bytes at `offset`. Returns the number of bytes; 0 at the end of the file.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int
  /// Writes `parts` in order at `offset`, in one call. Returns the number of bytes written, which may be less than the total.
  func write(_ parts: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int
  /// `fdatasync`: content and size.
  func syncData() throws(FileSystemError)
  /// `fsync`.
  func sync() throws(FileSystemError)
  func truncate(to size: UInt64) throws(FileSystemError)
  func size() throws(FileSystemError) -> UInt64
  func attributes() throws(FileSystemError) -> FileAttributes
  /// Takes the exclusive lock (`flock`) until the file is closed. The lock belongs to the file, not to its name. Returns `false` when
  /// another process has it.
  func lock() throws(FileSystemError) -> Bool
  /// Releases the lock before the file is closed.
  func unlock()
  /// Drops the file from the page cache where possible, so that the next read comes from the disk.
  func forgetCache()
}

extension File {
  package func forgetCache() {}
  package func unlock() {}

  /// Reads until `buffer` is full or the file ends. Returns the number of bytes.
  func readFully(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
    var done = 0
    while done < buffer.count {
      let count = try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...]), at: offset + UInt64(done))
      if count == 0 { break }
      done += count
    }
    return done
  }

  /// Writes all of `bytes`; a short write is continued.
  func writeFully(_ bytes: [UInt8], at offset: UInt64) throws(FileSystemError) {
    let result = bytes.withUnsafeBytes { writeFully([$0], at: offset, required: $0.count) }
    if let error = result.error { throw error }
  }

  /// Writes all of `parts`; short writes are continued.
  ///
  /// - Parameter required: the first bytes that must be written. A full disk after them is not an error.
  /// - Returns: the number of bytes written, and the error that stopped the write.
  func writeFully(_ parts: [UnsafeRawBufferPointer], at offset: UInt64, required: Int) -> (written: Int, error: FileSystemError?) {
    let total = parts.reduce(0) { $0 + $1.count }
    var written = 0
    while written < total {
      do throws(FileSystemError) {
        let rest = written == 0 ? parts : parts.dropping(bytes: written)
        written += try write(rest, at: offset + UInt64(written))
      } catch {
        return (written, written >= required && error.isNoRoom ? nil : error)
      }
    }
    return (written, nil)
  }
}

extension [UnsafeRawBufferPointer] {
  fileprivate func dropping(bytes: Int) -> [UnsafeRawBufferPointer] {
    var left = bytes
    var rest: [UnsafeRawBufferPointer] = []
    for part in self {
      if left < part.count { rest.append(UnsafeRawBufferPointer(rebasing: part[left...])) }
      left = Swift.max(0, left - part.count)
    }
    return rest
  }
}
