import AuditLog

/// The names in a data directory, and the steps by which whole small files get there.
struct DataDirectory: Sendable {
  let root: String
  let fileSystem: any FileSystem

  /// Says which process has the directory. It locks nothing: the directory's own descriptor does.
  var holder: String { root + "/server.pid" }
  var identity: String { root + "/log.json" }
  var segments: String { root + "/segments" }
  var indexes: String { root + "/index" }
  var torn: String { root + "/torn" }
  var tree: String { root + "/tree" }
  var erasures: String { root + "/erasures" }
  /// Where signed checkpoints are kept, unless another directory was named for them.
  var checkpoints: String { root + "/checkpoints" }

  /// What a segment's name ends with while its header is not yet on disk.
  static let unfinished = ".new"

  func segment(_ firstSequence: UInt64) -> String { "\(segments)/\(Self.digits(firstSequence)).seg" }
  func erasure(_ sequence: UInt64) -> String { "\(erasures)/\(Self.digits(sequence)).json" }
  func index(_ firstSequence: UInt64) -> String { "\(indexes)/\(Self.digits(firstSequence)).idx" }
  func searchIndex(_ firstSequence: UInt64) -> String { "\(indexes)/\(Self.digits(firstSequence)).bloom" }

  static func digits(_ sequence: UInt64) -> String {
    let text = String(sequence)
    return String(repeating: "0", count: 20 - text.count) + text
  }

  /// The sequence in the name of a segment; `nil` for any other name.
  static func firstSequence(ofSegment name: String) -> UInt64? {
    guard name.utf8.count == 24, name.hasSuffix(".seg"), let sequence = UInt64(name.dropLast(4)), digits(sequence) + ".seg" == name else {
      return nil
    }
    return sequence
  }

  /// What is wrong with a segment that begins with record `first` where another one comes next.
  static func gap(from expected: UInt64, to first: UInt64) -> String {
    guard first > expected else { return "it begins with record \(first), and \(expected) comes next: records are there twice" }
    let missing = first - expected == 1 ? "record \(expected) is missing" : "records \(expected) to \(first - 1) are missing"
    return "it begins with record \(first); \(missing) (\(first - expected))"
  }

  /// Sequences in the names of all segments, ascending, and the names of segments that were never finished.
  func listSegments() throws(StoreError) -> (firstSequences: [UInt64], unfinished: [String]) {
    let names = try reading { () throws(FileSystemError) in try fileSystem.list(segments) }
    return (
      names.compactMap(Self.firstSequence(ofSegment:)).sorted(),
      names.filter { $0.hasSuffix(".seg" + Self.unfinished) }.map { "\(segments)/\($0)" }
    )
  }

  /// Makes a file that is there whole, with these bytes, or not at all, and returns when it would survive a power cut.
  ///
  /// - Throws: the error, and whether something may have become durable before it.
  func createDurably(_ path: String, _ content: [UInt8]) throws(DurableFileError) -> any File {
    let temporary = path + Self.unfinished
    let file: any File
    do throws(FileSystemError) {
      file = try fileSystem.open(temporary, .createOrEmpty)
      try file.writeFully(content, at: 0)
    } catch {
      // It has no meaning under this name; the next attempt empties it.
      try? fileSystem.remove(temporary)
      throw DurableFileError(cause: error, isSettled: true)
    }
    do throws(FileSystemError) {
      try file.sync()
      try fileSystem.rename(temporary, to: path)
      try fileSystem.syncDirectory(String(path[..<path.lastIndex(of: "/")!]))
      return file
    } catch {
      // A rename that found no room for the name (rename(2), ENOSPC) did nothing; after any other error who knows what is on disk.
      let isSettled = error.isNoRoom && error.call == "rename"
      if isSettled { try? fileSystem.remove(temporary) }
      throw DurableFileError(cause: error, isSettled: isSettled)
    }
  }

  func read(_ path: String, limitBytes: UInt64) throws(FileSystemError) -> [UInt8] {
    let file = try fileSystem.open(path, .read)
    return try file.readBytes(at: 0, count: Int(min(try file.size(), limitBytes)))
  }
}

/// Why a file was not made.
struct DurableFileError: Error {
  var cause: FileSystemError
  /// Whether it is certain that the file is not there.
  var isSettled: Bool
}

extension File {
  /// `count` bytes from `offset` on, or fewer where the file ends.
  func readBytes(at offset: UInt64, count: Int) throws(FileSystemError) -> [UInt8] {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
    defer { buffer.deallocate() }
    let done = try readFully(into: buffer, at: offset)
    return Array(buffer[..<done])
  }
}
