/// Why evidence is invalid: a code for programs, and a sentence for people that says what is wrong, where, and with which value.
public struct EvidenceError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kinds of errors.
  public enum Code: Hashable, Sendable {
    /// The bytes do not follow the format.
    case malformed
    /// The tree has no such index or size.
    case outOfRange
    /// Hashes that a proof needs are missing.
    case unavailable
    /// A proof does not lead to the expected root.
    case proofMismatch
    /// A signature of a known key is invalid for this text.
    case badSignature
    /// No known key has signed.
    case unsigned
    /// The checkpoint is of another log.
    case wrongOrigin
    /// Fewer witnesses have cosigned than required.
    case quorumMissing
    /// The key has an unknown type or wrong length, or is for another purpose.
    case keyUnusable
  }

  public var code: Code
  /// What is wrong, where, and with which value.
  public var message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }

  /// Quotes untrusted bytes for a message: at most 64 of them; all but printable ASCII are escaped.
  package static func quote(_ bytes: some Collection<UInt8>) -> String {
    var text = "\""
    for byte in bytes.prefix(64) {
      if byte >= 0x20, byte < 0x7F, byte != 0x22, byte != 0x5C {
        text.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        text += "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
      }
    }
    return text + (bytes.count > 64 ? "...\"" : "\"")
  }
}
