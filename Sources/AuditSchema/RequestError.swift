import CAuditSchema

/// What is wrong with something that was sent, or what a server answered: a code to act on and one sentence for people.
public struct RequestError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The codes of `hubaudit.v1.Error`. PROTOCOL.md says what each means and which of them end the connection.
  public enum Code: UInt32, Sendable, CaseIterable {
    case malformedFrame = 1
    case frameTooLarge = 2
    case helloExpected = 3
    case unsupportedVersion = 4
    case timeout = 5
    case tooManyConnections = 6
    case invalidRequest = 16
    case unsupportedRequest = 17
    case invalidText = 18
    case invalidJSON = 19
    case recordTooLarge = 20
    case limitExceeded = 21
    case producerGap = 22
    case notPermitted = 23
    case producerSuperseded = 24
    case producerNumberUnknown = 25
    case historyDiffers = 26
    case overloaded = 32
    case storageFull = 33
    case draining = 34
    case logFailed = 48
    case dataDamaged = 49
    case `internal` = 50

    /// Whether the connection ends after this error.
    public var endsConnection: Bool { rawValue < 16 }

    /// Whether the same request may succeed when it is sent again.
    public var isRetryable: Bool {
      switch self {
      case .overloaded, .storageFull, .draining, .timeout, .tooManyConnections: true
      default: false
      }
    }
  }

  public var code: Code
  /// What was wrong, with which value, against which limit, and what to do.
  public var message: String
  /// Position in the append, from 0, of the event that the error is about.
  public var event: Int?
  /// With `producerGap`: the number that was expected.
  public var expectedProducerSequence: UInt64?
  /// With `historyDiffers`: a sequence whose record is certainly not the one that the client knows, or missing. Records before it may differ too.
  public var differsFrom: UInt64?
  /// Whether the same request may succeed when it is sent again; `nil`: as with every error of this code.
  public var mayRetry: Bool?

  public var isRetryable: Bool { mayRetry ?? code.isRetryable }

  public init(
    _ code: Code, _ message: String, event: Int? = nil, expectedProducerSequence: UInt64? = nil, differsFrom: UInt64? = nil,
    mayRetry: Bool? = nil
  ) {
    self.code = code
    self.message = message
    self.event = event
    self.expectedProducerSequence = expectedProducerSequence
    self.differsFrom = differsFrom
    self.mayRetry = mayRetry
  }

  init(_ problem: caudit_problem) {
    var problem = problem
    let sentence = withUnsafeBytes(of: &problem.sentence) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let code: Code =
      switch Int(problem.code) {
      case CAUDIT_BAD_TEXT: .invalidText
      case CAUDIT_UNKNOWN_FIELD: .unsupportedRequest
      case CAUDIT_NOT_ONE: .invalidRequest
      case CAUDIT_NO_ROOM: .limitExceeded
      default: .malformedFrame
      }
    self.init(code, sentence)
  }

  public var description: String { message }
}
