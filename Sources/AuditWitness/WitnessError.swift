/// Why a witness, or the collecting of cosignatures, cannot go on: a code to act on, and a sentence that says what to do.
public struct WitnessError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: Hashable, Sendable {
    /// Keys, logs or addresses do not make sense together.
    case misconfigured
    /// The state directory cannot be made, read or written.
    case unusable
    /// Another process uses the state directory.
    case locked
    /// What the state directory holds is not what was put there.
    case damaged
    /// A sync failed: it is not known what the disk holds.
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
