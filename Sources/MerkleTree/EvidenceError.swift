/// What is wrong with a piece of evidence: a code to act on, and a sentence that says what, where and which value.
public struct EvidenceError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: Hashable, Sendable {
    /// The bytes are not of the format.
    case malformed
    /// An index or a size that the tree does not have.
    case outOfRange
    /// The hashes that a proof needs could not be read.
    case unavailable
    /// A proof does not lead to the root it should.
    case proofMismatch
    /// A signature of a known key is not over this text.
    case badSignature
    /// No signature of a known key.
    case unsigned
    /// The checkpoint is another log's.
    case wrongOrigin
    /// Too few of the policy's witnesses have cosigned.
    case quorumMissing
    /// A key cannot be used: of an unknown type, of the wrong length, or for another purpose.
    case keyUnusable
  }

  public var code: Code
  public var message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }

  /// Foreign bytes for a sentence: at most 64 of them, in quotation marks, printable ASCII only.
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
