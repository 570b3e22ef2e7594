/// What somebody knows of a log as of a position: its name, and the record before the position. A server compares it with its own log, so that
/// nobody goes on in another log, or in an older copy of the same one that went on differently.
public struct LogHistory: Sendable, Hashable {
  /// 16 bytes that name the log: `Welcome.logID`.
  public var logID: [UInt8]
  /// The position: the number of records before it.
  public var size: UInt64
  /// The leaf hash of record `size - 1`; `nil` when `size` is 0, or the hash is not known: then only the log's name and its length are compared.
  public var leafHash: [UInt8]?

  public init(logID: [UInt8], size: UInt64, leafHash: [UInt8]?) {
    self.logID = logID
    self.size = size
    self.leafHash = leafHash
  }

  /// As of the position after a record.
  public init(logID: [UInt8], after record: Record) {
    self.init(logID: logID, size: record.sequence + 1, leafHash: record.leafHash)
  }

  /// Where to go on.
  public var start: Start { .sequence(size) }
}

extension Record {
  /// The record's hash in the log's tree (RFC 6962): SHA-256 of a zero byte and the header's bytes.
  public var leafHash: [UInt8] { SHA256.hash([0] + encodedHeader) }
}
