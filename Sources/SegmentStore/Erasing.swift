import AuditLog
import AuditSchema
import FoundationEssentials
import Synchronization

/// Erases bodies in place. The record keeps its size, so nothing else moves: the header stays, zeros replace the body, and the checksum is
/// computed again.
///
/// `erasures/SEQUENCE.json` is the order. A start first finishes every partial overwrite. An order whose record is still whole is only
/// reported (`pendingErasures`): the caller checks its signature and decides. Overwriting twice gives the same bytes.
///
/// A torn end that recovery kept before the record was stored may contain the same event, which the hub sent again. So torn ends are
/// overwritten too. The search index contains hashes of values from the body, so it is deleted and rebuilt.
extension SegmentStore {
  /// Content of `erasures/SEQUENCE.json`.
  private struct Order: Codable {
    var sequence: UInt64
    var log_size: UInt64
    var segment: UInt64
    var offset: UInt64
    var note: String
  }

  public func order(_ erasure: Erasure) throws(StoreError) {
    // The files below are opened by path.
    try confirmPaths()
    let (segment, offset) = try location(ofRecord: erasure.sequence)
    let order = Order(
      sequence: erasure.sequence, log_size: erasure.logSize, segment: segment, offset: offset,
      note: String(decoding: erasure.note, as: UTF8.self))
    // A structure of numbers and strings always has a JSON form.
    let content = Array(try! JSONEncoder().encode(order))
    do throws(DurableFileError) { _ = try directory.createDurably(directory.erasure(erasure.sequence), content) } catch {
      throw .unusable(error.cause, "nothing was erased; free space on this disk, check it, and ask again")
    }
    erasures.withLock { $0.pending.append(erasure) }
  }

  public var pendingErasures: [Erasure] { erasures.withLock { $0.pending } }

  public func erase(_ erasure: Erasure) throws(StoreError) {
    try confirmPaths()
    let (segment, offset) = try location(ofRecord: erasure.sequence, mayBeErased: true)
    try erasures.withLock { (state) throws(StoreError) in
      state.count += 1
      try overwrite(erasure.sequence, segment: segment, offset: offset)
      try Self.overwriteTornEnds(before: erasure.sequence, directory)
      try preparing { () throws(FileSystemError) in
        try forgetSearchIndex(segment)
        try directory.fileSystem.remove(directory.erasure(erasure.sequence))
        try directory.fileSystem.syncDirectory(directory.erasures)
      }
      state.pending.removeAll { $0.sequence == erasure.sequence }
    }
    background.indexer?.request(segment)
  }

  private func overwrite(_ sequence: UInt64, segment: UInt64, offset: UInt64) throws(StoreError) {
    let isDone = try writer.withLock { (writer) throws(StoreError) in
      // An append compares the tail of the newest segment. Hold the writer so that both change together.
      guard writer.active.firstSequence == segment else { return false }
      try Self.overwrite(sequence, segment: segment, offset: offset, directory)
      try writer.active.rereadTail()
      return true
    }
    if !isDone { try Self.overwrite(sequence, segment: segment, offset: offset, directory) }
  }

  /// Segment and offset of a record.
  ///
  /// - Throws: `.invalid` when there is no such record, or it is erased and `mayBeErased` is false.
  private func location(ofRecord sequence: UInt64, mayBeErased: Bool = false) throws(StoreError) -> (segment: UInt64, offset: UInt64) {
    guard sequence >= start.firstSequence, sequence < nextSequence else {
      throw StoreError(.invalid, "there is no record \(sequence); the log's next record is \(nextSequence)")
    }
    let (segment, offset, framing) = try locate(sequence)
    if !mayBeErased {
      let record = try reading { () throws(FileSystemError) in try segment.file.readBytes(at: offset, count: framing.totalBytes) }
      guard record.withUnsafeBytes({ framing.isIntact(in: $0) }) else {
        throw .damaged(segment.path, offset: offset, "record \(sequence) is not intact; erasing its body would hide the damage")
      }
      guard record[framing.header.upperBound] == RecordFraming.bodyTag else {
        throw StoreError(.invalid, "record \(sequence) has no body: it was erased before")
      }
    }
    return (segment.header.firstSequence, offset)
  }

  /// Reads all orders. Finishes a partial overwrite before anything else reads the record.
  static func finishErasures(_ directory: DataDirectory) throws(StoreError) -> [Erasure] {
    let names = try reading { () throws(FileSystemError) in try directory.fileSystem.list(directory.erasures) }
    // The process may have died before the name of the order was durable. Sync it first: a body must not be half overwritten without its
    // order.
    if !names.isEmpty { try preparing { () throws(FileSystemError) in try directory.fileSystem.syncDirectory(directory.erasures) } }
    var found: [Erasure] = []
    for name in names.sorted() {
      let path = "\(directory.erasures)/\(name)"
      guard !name.hasSuffix(DataDirectory.unfinished) else {
        try preparing { () throws(FileSystemError) in try directory.fileSystem.remove(path) }
        continue
      }
      let content = try reading { () throws(FileSystemError) in try directory.read(path, limitBytes: 1 << 20) }
      guard let order = try? JSONDecoder().decode(Order.self, from: Data(content)), path == directory.erasure(order.sequence) else {
        throw StoreError(.damaged, "\(path) is not an erasure order; if no erasure was in progress, remove it", path: path)
      }
      try overwrite(order.sequence, segment: order.segment, offset: order.offset, directory, onlyPartial: true)
      found.append(Erasure(sequence: order.sequence, logSize: order.log_size, note: Array(order.note.utf8)))
    }
    return found
  }

  private static func overwrite(
    _ sequence: UInt64, segment first: UInt64, offset: UInt64, _ directory: DataDirectory, onlyPartial: Bool = false
  ) throws(StoreError) {
    let path = directory.segment(first)
    let file = try preparing { () throws(FileSystemError) in try directory.fileSystem.open(path, .readWrite) }
    let head = try reading { () throws(FileSystemError) in try file.readBytes(at: offset, count: RecordFraming.headBytes) }
    guard let framing = head.withUnsafeBytes({ RecordFraming(head: $0) }), framing.sequence == sequence else {
      throw .damaged(path, offset: offset, "record \(sequence) is to be erased, but does not begin here")
    }
    var record = try reading { () throws(FileSystemError) in try file.readBytes(at: offset, count: framing.totalBytes) }
    // A record that reads as erased may not be so on disk (failed sync): write it again.
    if onlyPartial, record.withUnsafeBytes({ framing.isIntact(in: $0) }), record[framing.header.upperBound] == RecordFraming.bodyTag {
      return
    }
    guard record.count == framing.totalBytes, framing.erase(in: &record) else {
      throw .damaged(path, offset: offset, "record \(sequence) is to be erased, but is incomplete")
    }
    try preparing { () throws(FileSystemError) in
      try file.writeFully(Array(record[framing.header.upperBound...]), at: offset + UInt64(framing.header.upperBound))
      try file.sync()
    }
  }

  /// - Parameter sequence: the erased record. Torn ends from after it was stored are kept.
  private static func overwriteTornEnds(before sequence: UInt64, _ directory: DataDirectory) throws(StoreError) {
    let names = try reading { () throws(FileSystemError) in try directory.fileSystem.list(directory.torn) }
    for name in names.sorted() where name.hasSuffix(".bin") {
      let path = "\(directory.torn)/\(name)"
      if let next = TornEnd.nextSequence(ofReportBeside: path, directory), next > sequence { continue }
      try preparing { () throws(FileSystemError) in
        let file = try directory.fileSystem.open(path, .readWrite)
        let end = try file.size()
        for start in stride(from: 0, to: end, by: 1 << 20) {
          try file.writeFully([UInt8](repeating: 0, count: Int(min(1 << 20, end - start))), at: start)
        }
        try file.sync()
      }
    }
  }
}
