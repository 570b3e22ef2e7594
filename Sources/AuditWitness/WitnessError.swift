/// Why a witness or the collector of cosignatures cannot work: a code for programs, and a sentence for people that says what to do.
public struct WitnessError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kinds of errors.
  public enum Code: Hashable, Sendable {
    /// The keys, logs or addresses do not fit together.
    case misconfigured
    /// The state directory cannot be created, read or written.
    case unusable
    /// Another process uses the state directory.
    case locked
    /// A file of the state directory is malformed or not signed.
    case damaged
    /// A sync failed: the content of the disk is unknown.
    case failed
  }

  public var code: Code
  public var message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }
}
