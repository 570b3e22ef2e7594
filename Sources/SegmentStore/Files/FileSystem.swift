/// What the store asks of a file system; everything it does to a disk goes through here.
///
/// The promises are those of POSIX and no more: what was written may be lost, in any part, until `syncData` or `sync` of the file has
/// returned; a name that was made, changed or removed may be lost until `syncDirectory` of its directory has.
package protocol FileSystem: Sendable {
  func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any File
  /// Makes a directory that only its owner can enter. Returns `false` when there is one already.
  func createDirectory(_ path: String) throws(FileSystemError) -> Bool
  /// The names in a directory, without "." and "..", in no order.
  func list(_ path: String) throws(FileSystemError) -> [String]
  /// What stands at a path now. A link at its end is followed where `followsLinks` says so, else it is what is told of.
  func attributes(_ path: String, followsLinks: Bool) throws(FileSystemError) -> FileAttributes
  /// Size of a file in bytes.
  func size(_ path: String) throws(FileSystemError) -> UInt64
  /// Puts a file at another name of the same directory, in the place of one that is there.
  func rename(_ path: String, to newPath: String) throws(FileSystemError)
  func remove(_ path: String) throws(FileSystemError)
  func syncDirectory(_ path: String) throws(FileSystemError)
}

package enum FileOpenMode: Sendable {
  case read
  case readWrite
  /// A new file for reading and writing; fails with EEXIST when there is one.
  case create
  /// For reading and writing; an existing file is emptied.
  case createOrEmpty
  /// For reading and writing; an existing file is kept.
  case createOrOpen
  /// A directory, for its lock and its attributes only. A link to one is followed.
  case directory
}

/// What a file is, by whatever name it is found.
package struct FileAttributes: Sendable {
  package enum Kind: Sendable { case file, directory, link, other }

  package var kind: Kind
  /// Device and inode: no two files that exist at the same time share both.
  package var device: UInt64
  package var inode: UInt64
  /// Names that the file has; 0 once it was removed.
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

/// An open file. It is closed when nobody holds it any more.
package protocol File: AnyObject, Sendable {
  /// Reads at most `buffer.count` bytes from `offset` on. Returns how many; 0 at the end of the file.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int
  /// Writes `parts` one behind the other at `offset`, in one call. Returns how many bytes were written, which may be fewer than there are.
  func write(_ parts: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int
  /// `fdatasync`: content and size.
  func syncData() throws(FileSystemError)
  /// `fsync`.
  func sync() throws(FileSystemError)
  func truncate(to size: UInt64) throws(FileSystemError)
  func size() throws(FileSystemError) -> UInt64
  func attributes() throws(FileSystemError) -> FileAttributes
  /// Takes the file's exclusive lock until the file is closed. It belongs to the file, not to its name. Returns `false` when somebody else has it.
  func lock() throws(FileSystemError) -> Bool
  /// Gives the lock back before the file is closed.
  func unlock()
  /// Asks the system to read the file from the disk again, rather than from memory, where it can.
  func forgetCache()
}

extension File {
  package func forgetCache() {}
  package func unlock() {}

  /// Reads until `buffer` is full or the file ends; returns the number of bytes.
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

  /// Writes all of `parts`, continuing short writes.
  ///
  /// - Parameter required: how many of the bytes matter. When there is no room for the rest, that is no error.
  /// - Returns: the number of bytes written, and what ended the writing early.
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
