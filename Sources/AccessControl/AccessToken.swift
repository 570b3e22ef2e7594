import AuditSchema
import CAuditDigest
import MerkleTree

/// A secret that names itself: `hat_`, the id, `_`, and 64 hex digits (256 random bits). The access file has its SHA-256.
package struct AccessToken: Sendable {
  package let id: String
  package let text: String

  package static let prefix = "hat_"

  /// 1 to 32 letters a-z and digits.
  package static func isID(_ text: String) -> Bool {
    (1...32).contains(text.utf8.count)
      && text.utf8.allSatisfy {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
      }
  }

  /// Reads a token; `nil` for a text of another form.
  package init?(_ text: String) {
    guard text.hasPrefix(Self.prefix) else { return nil }
    let parts = text.dropFirst(Self.prefix.count).split(separator: "_", omittingEmptySubsequences: false)
    guard parts.count == 2, Self.isID(String(parts[0])), parts[1].utf8.count == 64, Hex.decode(parts[1].utf8) != nil else { return nil }
    id = String(parts[0])
    self.text = text
  }

  /// Makes a new secret.
  package init(id: String) {
    var secret = [UInt8](repeating: 0, count: 32)
    let isRandom = secret.withUnsafeMutableBytes { caudit_random($0.baseAddress!, $0.count) == 0 }
    precondition(isRandom, "the machine has no randomness to give")
    self.id = id
    text = "\(Self.prefix)\(id)_\(Hex.encode(secret))"
  }

  package var sha256: [UInt8] { SHA256.hash(Array(text.utf8)) }
}
