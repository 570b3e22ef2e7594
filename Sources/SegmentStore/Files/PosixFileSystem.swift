import Glibc

/// The file system of this machine.
package struct PosixFileSystem: FileSystem {
  /// `O_NOFOLLOW` or nothing.
  private let linkFlag: Int32

  /// - Parameter followsLinks: whether `open` follows a link at the end of the path. A store does not: a link in its directory would make
  ///   it write to a foreign file.
  package init(followsLinks: Bool = false) { linkFlag = followsLinks ? 0 : O_NOFOLLOW }

  package func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any File {
    let flags =
      switch mode {
      case .read: O_RDONLY | linkFlag
      case .readWrite: O_RDWR | linkFlag
      case .create: O_RDWR | O_CREAT | O_EXCL
      case .createOrEmpty: O_RDWR | O_CREAT | O_TRUNC | linkFlag
      case .createOrOpen: O_RDWR | O_CREAT | linkFlag
      case .directory: O_RDONLY | O_DIRECTORY
      }
    return PosixFile(descriptor: try descriptor(path, flags), path: path)
  }

  private func descriptor(_ path: String, _ flags: Int32) throws(FileSystemError) -> Int32 {
    while true {
      let descriptor = Glibc.open(path, flags | O_CLOEXEC, 0o600)
      if descriptor >= 0 { return descriptor }
      let number = errno
      if number != EINTR { throw FileSystemError("open", path, number) }
    }
  }

  package func createDirectory(_ path: String) throws(FileSystemError) -> Bool {
    if mkdir(path, 0o700) == 0 { return true }
    let number = errno
    var found = stat()
    if number == EEXIST, stat(path, &found) == 0, found.st_mode & S_IFMT == S_IFDIR { return false }
    throw FileSystemError("mkdir", path, number)
  }

  package func list(_ path: String) throws(FileSystemError) -> [String] {
    let directory = try openDirectory(path)
    defer { closedir(directory) }
    var names: [String] = []
    while true {
      errno = 0
      guard let item = readdir(directory) else { break }
      let offset = MemoryLayout<dirent>.offset(of: \dirent.d_name)!
      let name = String(cString: (UnsafeRawPointer(item) + offset).assumingMemoryBound(to: CChar.self))
      if name != ".", name != ".." { names.append(name) }
    }
    guard errno == 0 else { throw FileSystemError("readdir", path, errno) }
    return names
  }

  private func openDirectory(_ path: String) throws(FileSystemError) -> OpaquePointer {
    while true {
      if let directory = opendir(path) { return directory }
      let number = errno
      if number != EINTR { throw FileSystemError("opendir", path, number) }
    }
  }

  package func attributes(_ path: String, followsLinks: Bool) throws(FileSystemError) -> FileAttributes {
    var found = stat()
    guard (followsLinks ? stat(path, &found) : lstat(path, &found)) == 0 else { throw FileSystemError("stat", path, errno) }
    return FileAttributes(found)
  }

  package func size(_ path: String) throws(FileSystemError) -> UInt64 {
    var found = stat()
    guard stat(path, &found) == 0 else { throw FileSystemError("stat", path, errno) }
    return UInt64(found.st_size)
  }

  package func rename(_ path: String, to newPath: String) throws(FileSystemError) {
    guard Glibc.rename(path, newPath) == 0 else { throw FileSystemError("rename", path, errno) }
  }

  package func remove(_ path: String) throws(FileSystemError) {
    guard unlink(path) == 0 else { throw FileSystemError("unlink", path, errno) }
  }

  package func syncDirectory(_ path: String) throws(FileSystemError) {
    let descriptor = try descriptor(path, O_RDONLY | O_DIRECTORY)
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw FileSystemError("fsync", path, errno) }
  }
}

extension FileAttributes {
  init(_ found: stat) {
    let kind: Kind =
      switch found.st_mode & S_IFMT {
      case S_IFREG: .file
      case S_IFDIR: .directory
      case S_IFLNK: .link
      default: .other
      }
    self.init(
      kind: kind, device: UInt64(found.st_dev), inode: UInt64(found.st_ino), links: UInt64(found.st_nlink), owner: found.st_uid,
      mode: found.st_mode & 0o7777)
  }
}
