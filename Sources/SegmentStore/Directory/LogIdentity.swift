import AuditLog
import CAuditDigest
import FoundationEssentials
import MerkleTree

/// What `log.json` says: which log this is. Written once, when the log is made.
package struct LogIdentity: Sendable, Equatable {
  package static let format = 1

  /// 16 random bytes that name the log.
  package var logID: [UInt8]
  /// When the log was made: RFC 3339, UTC.
  package var created: String
  /// The name that the log's signed statements carry, where it was given one.
  package var origin: String?

  private struct Document: Codable {
    var format: Int
    var log_id: String?
    var created: String?
    var origin: String?
  }

  package init(logID: [UInt8], created: String, origin: String?) {
    self.logID = logID
    self.created = created
    self.origin = origin
  }

  /// The identity of a new log.
  init(origin: String?) throws(StoreError) {
    self.init(logID: try randomBytes(16), created: Date().ISO8601Format(), origin: origin)
  }

  func encoded() -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let document = Document(format: Self.format, log_id: Hex.encode(logID), created: created, origin: origin)
    // A structure of numbers and strings always has a JSON form.
    return Array(try! encoder.encode(document)) + [UInt8(ascii: "\n")]
  }

  /// - Throws: `.unusable` when the text is of another format, `.damaged` when it is of none.
  init(encoded: [UInt8], path: String) throws(StoreError) {
    guard let document = try? JSONDecoder().decode(Document.self, from: Data(encoded)) else {
      throw StoreError(.damaged, "\(path) is not the description of a log; restore it from a copy", path: path)
    }
    guard document.format == Self.format else {
      throw StoreError(
        .unusable, "\(path) says format \(document.format), this server knows format \(Self.format); use the server that wrote it",
        path: path)
    }
    guard let logID = document.log_id.flatMap(bytes(hex:)), logID.count == 16 else {
      throw StoreError(.damaged, "\(path) has no log_id of 32 hexadecimal digits; restore it from a copy", path: path)
    }
    self.init(logID: logID, created: document.created ?? "", origin: document.origin)
  }
}

/// Bytes that nobody can guess.
func randomBytes(_ count: Int) throws(StoreError) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: count)
  guard caudit_random(&bytes, count) == 0 else {
    throw StoreError(.unusable, "the system gives no random bytes, which a new segment needs; check /dev/urandom")
  }
  return bytes
}

private func bytes(hex text: String) -> [UInt8]? {
  let digits = text.compactMap(\.hexDigitValue)
  guard digits.count == text.count, digits.count % 2 == 0 else { return nil }
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}
