import AuditSchema
import MerkleTree

/// An order to erase a record: the text of a note that one of the log's keys signs.
///
/// The order is stored in the log, where anybody can read it. It contains the record's leaf hash, so that nobody can replay it on a
/// diverged copy of the log, which has another record with that sequence.
package struct ErasureStatement: Sendable, Equatable {
  private static let head = "hubaudit erasure v1"
  /// Maximum bytes of `by`, and of `reason`.
  package static let maxTextBytes = 1024

  package var origin: String
  /// The log's id, 16 bytes.
  package var logID: [UInt8]
  package var sequence: UInt64
  /// The record's leaf hash in the Merkle tree, 32 bytes.
  package var leafHash: [UInt8]
  package var by: String
  package var reason: String

  package static let leafHashBytes = 32

  /// - Throws: `invalidRequest` if a text is empty, too long, or has control characters.
  package init(origin: String, logID: [UInt8], sequence: UInt64, leafHash: [UInt8], by: String, reason: String) throws(RequestError) {
    for (name, text) in [("by", by), ("reason", reason)] {
      guard !text.isEmpty, text.utf8.count <= Self.maxTextBytes, !text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
        throw RequestError(
          .invalidRequest, "\(name) has \(text.utf8.count) bytes or control characters; 1 to \(Self.maxTextBytes) bytes of text are allowed"
        )
      }
    }
    self.origin = origin
    self.logID = logID
    self.sequence = sequence
    self.leafHash = leafHash
    self.by = by
    self.reason = reason
  }

  /// The statement's seven lines, each with a newline.
  package var text: String { "\(Self.head)\n\(origin)\n\(Hex.encode(logID))\n\(sequence)\n\(Hex.encode(leafHash))\n\(by)\n\(reason)\n" }

  /// Parses what `text` returns.
  ///
  /// - Throws: `invalidRequest`.
  package init(text: String) throws(RequestError) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.count == 8, lines[7].isEmpty, lines[0] == Self.head, let sequence = UInt64(lines[3]), String(sequence) == lines[3],
      let logID = Hex.decode(lines[2].utf8), logID.count == 16, let leafHash = Hex.decode(lines[4].utf8),
      leafHash.count == Self.leafHashBytes
    else {
      throw RequestError(
        .invalidRequest, "the statement's text is not \"\(Self.head)\", origin, log id, sequence, leaf hash, who and why, a line each")
    }
    try self.init(
      origin: String(lines[1]), logID: logID, sequence: sequence, leafHash: leafHash, by: String(lines[5]), reason: String(lines[6]))
  }
}
