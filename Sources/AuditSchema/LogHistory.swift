/// A reader's knowledge of a log at a position: the log's id, and the hash of the last record before the position. A server compares it
/// with its log, so that a reader does not continue in another log or in a diverged copy.
public struct LogHistory: Sendable, Hashable {
  /// The log's id, 16 bytes: `Welcome.logID`.
  public var logID: [UInt8]
  /// The position: the number of records before it.
  public var size: UInt64
  /// The leaf hash of record `size - 1`, 32 bytes. `nil` if `size` is 0 or the hash is unknown; then only id and size are compared.
  public var leafHash: [UInt8]?

  public init(logID: [UInt8], size: UInt64, leafHash: [UInt8]?) {
    self.logID = logID
    self.size = size
    self.leafHash = leafHash
  }

  /// The history up to and including `record`.
  public init(logID: [UInt8], after record: Record) {
    self.init(logID: logID, size: record.sequence + 1, leafHash: record.leafHash)
  }

  /// Where to resume: at `size`.
  public var start: Start { .sequence(size) }
}

extension Record {
  /// The record's hash in the log's tree (RFC 6962): SHA-256 of a zero byte and the header's bytes.
  public var leafHash: [UInt8] { SHA256.hash([0] + encodedHeader) }
}
