import AuditLog
import CAuditDigest
import FoundationEssentials
import MerkleTree

/// Content of `log.json`: the identity of the log. Written once, when the log is created.
package struct LogIdentity: Sendable, Equatable {
  package static let format = 1

  /// Log id: 16 random bytes.
  package var logID: [UInt8]
  /// Creation time: RFC 3339, UTC.
  package var created: String
  /// Origin line of the checkpoints, if one was configured.
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

  /// Makes the identity of a new log.
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

  /// - Throws: `.unusable` for another format version, `.damaged` for anything else that does not parse.
  init(encoded: [UInt8], path: String) throws(StoreError) {
    guard let document = try? JSONDecoder().decode(Document.self, from: Data(encoded)) else {
      throw StoreError(.damaged, "\(path) is not the description of a log; restore it from a copy", path: path)
    }
    guard document.format == Self.format else {
      throw StoreError(
        .unusable, "\(path) says format \(document.format), but this server knows only format \(Self.format); use the server that wrote it",
        path: path)
    }
    guard let logID = document.log_id.flatMap(bytes(hex:)), logID.count == 16 else {
      throw StoreError(.damaged, "\(path) has no log_id of 32 hexadecimal digits; restore it from a copy", path: path)
    }
    self.init(logID: logID, created: document.created ?? "", origin: document.origin)
  }
}

/// Random bytes from the system, fit for secrets.
func randomBytes(_ count: Int) throws(StoreError) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: count)
  guard caudit_random(&bytes, count) == 0 else {
    throw StoreError(.unusable, "the system returned no random bytes, which a new segment needs; check /dev/urandom")
  }
  return bytes
}

private func bytes(hex text: String) -> [UInt8]? {
  let digits = text.compactMap(\.hexDigitValue)
  guard digits.count == text.count, digits.count % 2 == 0 else { return nil }
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}
