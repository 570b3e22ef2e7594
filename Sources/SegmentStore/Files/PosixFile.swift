import Glibc

/// A file descriptor, closed when its last reference is gone.
final class PosixFile: File {
  private let descriptor: Int32
  private let path: String

  init(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  deinit {
    // A forked child holds the lock too until it calls exec. So closing alone would not release it.
    flock(descriptor, LOCK_UN)
    close(descriptor)
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
    while true {
      let count = pread(descriptor, buffer.baseAddress, buffer.count, Int(offset))
      if count >= 0 { return count }
      let number = errno
      if number != EINTR { throw FileSystemError("pread", path, number) }
    }
  }

  func write(_ parts: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int {
    let (count, number) = withUnsafeTemporaryAllocation(of: iovec.self, capacity: parts.count) { vectors in
      for (index, part) in parts.enumerated() {
        vectors.initializeElement(at: index, to: iovec(iov_base: UnsafeMutableRawPointer(mutating: part.baseAddress), iov_len: part.count))
      }
      while true {
        let count = pwritev(descriptor, vectors.baseAddress, Int32(parts.count), Int(offset))
        let number = errno
        if count >= 0 || number != EINTR { return (count, number) }
      }
    }
    guard count >= 0 else { throw FileSystemError("pwritev", path, number) }
    // A write of 0 bytes without an error would be retried for ever.
    guard count > 0 else { throw FileSystemError("pwritev", path, EIO) }
    return count
  }

  func syncData() throws(FileSystemError) {
    guard fdatasync(descriptor) == 0 else { throw FileSystemError("fdatasync", path, errno) }
  }

  func sync() throws(FileSystemError) {
    guard fsync(descriptor) == 0 else { throw FileSystemError("fsync", path, errno) }
  }

  func truncate(to size: UInt64) throws(FileSystemError) {
    while ftruncate(descriptor, Int(size)) != 0 {
      let number = errno
      if number != EINTR { throw FileSystemError("ftruncate", path, number) }
    }
  }

  func size() throws(FileSystemError) -> UInt64 {
    var found = stat()
    guard fstat(descriptor, &found) == 0 else { throw FileSystemError("fstat", path, errno) }
    return UInt64(found.st_size)
  }

  func attributes() throws(FileSystemError) -> FileAttributes {
    var found = stat()
    guard fstat(descriptor, &found) == 0 else { throw FileSystemError("fstat", path, errno) }
    return FileAttributes(found)
  }

  func unlock() { flock(descriptor, LOCK_UN) }

  func forgetCache() { _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) }

  func lock() throws(FileSystemError) -> Bool {
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let number = errno
      if number == EWOULDBLOCK { return false }
      if number != EINTR { throw FileSystemError("flock", path, number) }
    }
    return true
  }
}
