import AuditLog

/// File names in a data directory, and how small files are created durably.
struct DataDirectory: Sendable {
  let root: String
  let fileSystem: any FileSystem

  /// Holds the process id of the server, for error messages. It is not a lock: the directory itself is locked.
  var holder: String { root + "/server.pid" }
  var identity: String { root + "/log.json" }
  var segments: String { root + "/segments" }
  var indexes: String { root + "/index" }
  var torn: String { root + "/torn" }
  var tree: String { root + "/tree" }
  var erasures: String { root + "/erasures" }
  /// Signed checkpoints, unless the configuration names another directory.
  var checkpoints: String { root + "/checkpoints" }

  /// Suffix of a file that is still being written.
  static let unfinished = ".new"

  func segment(_ firstSequence: UInt64) -> String { "\(segments)/\(Self.digits(firstSequence)).seg" }
  func erasure(_ sequence: UInt64) -> String { "\(erasures)/\(Self.digits(sequence)).json" }
  func index(_ firstSequence: UInt64) -> String { "\(indexes)/\(Self.digits(firstSequence)).idx" }
  func searchIndex(_ firstSequence: UInt64) -> String { "\(indexes)/\(Self.digits(firstSequence)).bloom" }

  static func digits(_ sequence: UInt64) -> String {
    let text = String(sequence)
    return String(repeating: "0", count: 20 - text.count) + text
  }

  /// First sequence from the name of a segment file; `nil` for any other name.
  static func firstSequence(ofSegment name: String) -> UInt64? {
    guard name.utf8.count == 24, name.hasSuffix(".seg"), let sequence = UInt64(name.dropLast(4)), digits(sequence) + ".seg" == name else {
      return nil
    }
    return sequence
  }

  /// Error sentence for a segment that begins with record `first` instead of `expected`.
  static func gap(from expected: UInt64, to first: UInt64) -> String {
    guard first > expected else { return "it begins with record \(first), but \(expected) comes next: some records are there twice" }
    let missing = first - expected == 1 ? "record \(expected) is missing" : "records \(expected) to \(first - 1) are missing"
    return "it begins with record \(first); \(missing) (\(first - expected))"
  }

  /// First sequences of all segments, ascending, and the paths of unfinished segment files.
  func listSegments() throws(StoreError) -> (firstSequences: [UInt64], unfinished: [String]) {
    let names = try reading { () throws(FileSystemError) in try fileSystem.list(segments) }
    return (
      names.compactMap(Self.firstSequence(ofSegment:)).sorted(),
      names.filter { $0.hasSuffix(".seg" + Self.unfinished) }.map { "\(segments)/\($0)" }
    )
  }

  /// Creates or replaces a file atomically: after a crash it is complete or not there. Durable when this returns.
  ///
  /// - Throws: the system error, and whether the new file is known not to exist.
  func createDurably(_ path: String, _ content: [UInt8]) throws(DurableFileError) -> any File {
    let temporary = path + Self.unfinished
    let file: any File
    do throws(FileSystemError) {
      file = try fileSystem.open(temporary, .createOrEmpty)
      try file.writeFully(content, at: 0)
    } catch {
      // A leftover is harmless: nothing reads this name, and the next attempt empties it.
      try? fileSystem.remove(temporary)
      throw DurableFileError(cause: error, isKnownAbsent: true)
    }
    do throws(FileSystemError) {
      try file.sync()
      try fileSystem.rename(temporary, to: path)
      try fileSystem.syncDirectory(String(path[..<path.lastIndex(of: "/")!]))
      return file
    } catch {
      // A rename that fails with ENOSPC changed nothing (rename(2)). After any other error the state of the disk is unknown.
      let isKnownAbsent = error.isNoRoom && error.call == "rename"
      if isKnownAbsent { try? fileSystem.remove(temporary) }
      throw DurableFileError(cause: error, isKnownAbsent: isKnownAbsent)
    }
  }

  func read(_ path: String, limitBytes: UInt64) throws(FileSystemError) -> [UInt8] {
    let file = try fileSystem.open(path, .read)
    return try file.readBytes(at: 0, count: Int(min(try file.size(), limitBytes)))
  }
}

/// Why a file could not be created durably.
struct DurableFileError: Error {
  var cause: FileSystemError
  /// Whether the file is known not to exist under its name.
  var isKnownAbsent: Bool
}

extension File {
  /// Reads `count` bytes at `offset`; fewer at the end of the file.
  func readBytes(at offset: UInt64, count: Int) throws(FileSystemError) -> [UInt8] {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
    defer { buffer.deallocate() }
    let done = try readFully(into: buffer, at: offset)
    return Array(buffer[..<done])
  }
}
