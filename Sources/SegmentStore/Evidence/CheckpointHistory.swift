import AuditLog
import AuditSchema

/// Goes through all stored checkpoints, ascending by the records that they cover: of those that cover as many, what the log has signed
/// comes first, then what came back from witnesses.
struct CheckpointHistory {
  private var signed: CheckpointFiles.Cursor
  private var cosigned: CheckpointFiles.Cursor
  private var nextSigned: StoredCheckpoint?
  private var nextCosigned: StoredCheckpoint?
  /// The file that the last one came from.
  private(set) var file = ""

  init(path: String, fileSystem: any FileSystem) throws(StoreError) {
    // Each is signed before it is cosigned: in this order none is met without the one that it repeats.
    cosigned = try CheckpointFiles.Cursor(.cosigned, path: path, fileSystem: fileSystem)
    signed = try CheckpointFiles.Cursor(.signed, path: path, fileSystem: fileSystem)
  }

  /// What stands behind the last whole checkpoints of the newest files.
  var rests: [(file: String, offset: UInt64, bytes: UInt64)] { [signed.rest, cosigned.rest].compactMap { $0 } }

  /// - Throws: `.damaged` when a file is not intact; the next call goes on with the next file.
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
