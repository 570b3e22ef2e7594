import CAuditSchema

/// Why a request was refused, by the server or before it was sent: a code for programs and a sentence for people.
public struct RequestError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The codes of `hubaudit.v1.Error`. PROTOCOL.md says what each means and which of them end the connection.
  public enum Code: UInt32, Sendable, CaseIterable {
    case malformedFrame = 1
    case frameTooLarge = 2
    case helloExpected = 3
    case unsupportedVersion = 4
    case timeout = 5
    case tooManyConnections = 6
    case unauthenticated = 7
    case credentialExpired = 8
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

    /// Whether the server closes the connection after this error.
    public var endsConnection: Bool { rawValue < 16 }

    /// Whether this refusal of an append is final and proves that no event was stored. `false` for codes that ask to retry later, and for
    /// those after which events may be stored, such as `logFailed`.
    package var provesNothingStored: Bool { rawValue < Self.overloaded.rawValue }

    /// Whether the same request may succeed when sent again.
    public var isRetryable: Bool {
      switch self {
      case .overloaded, .storageFull, .draining, .timeout, .tooManyConnections: true
      default: false
      }
    }
  }

  public var code: Code
  /// What was wrong, with which value and limit, and what to do.
  public var message: String
  /// Index in the append, from 0, of the event at fault; `nil` if the error is about the whole request.
  public var event: Int?
  /// With `producerGap`: the producer number that the server expects.
  public var expectedProducerSequence: UInt64?
  /// With `historyDiffers`: a sequence whose record is missing or differs from the client's. Records before it may differ too.
  public var differsFrom: UInt64?
  /// Whether the same request may succeed when sent again; `nil`: `code.isRetryable` applies.
  public var mayRetry: Bool?

  /// Whether the same request may succeed when sent again.
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
