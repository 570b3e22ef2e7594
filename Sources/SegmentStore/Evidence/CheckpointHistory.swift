import AuditLog
import AuditSchema

/// Reads all stored checkpoints by ascending size. At equal size the signed ones come first, then the cosigned ones.
struct CheckpointHistory {
  private var signed: CheckpointFiles.Cursor
  private var cosigned: CheckpointFiles.Cursor
  private var nextSigned: StoredCheckpoint?
  private var nextCosigned: StoredCheckpoint?
  /// Path of the file that the last checkpoint came from.
  private(set) var file = ""

  init(path: String, fileSystem: any FileSystem) throws(StoreError) {
    // The order matters while a server runs: a checkpoint is stored as signed before it is stored as cosigned, so a cosigned one never
    // appears without its signed one.
    cosigned = try CheckpointFiles.Cursor(.cosigned, path: path, fileSystem: fileSystem)
    signed = try CheckpointFiles.Cursor(.signed, path: path, fileSystem: fileSystem)
  }

  /// Bytes after the last whole checkpoint of the newest file of each kind.
  var incompleteTails: [(file: String, offset: UInt64, bytes: UInt64)] {
    [signed.incompleteTail, cosigned.incompleteTail].compactMap { $0 }
  }

  /// - Throws: `.damaged` when a file is not intact. The next call continues with the next file.
  mutating func next() throws(StoreError) -> StoredCheckpoint? {
    if nextSigned == nil { nextSigned = try signed.next() }
    if nextCosigned == nil { nextCosigned = try cosigned.next() }
    if let one = nextCosigned, one.size < nextSigned?.size ?? .max {
      file = cosigned.file
      nextCosigned = nil
      return one
    }
    file = signed.file
    defer { nextSigned = nil }
    return nextSigned
  }
}
