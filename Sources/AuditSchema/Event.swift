import CAuditSchema

/// An event of a hub: one of the nine events of AG2's `HubListener`, or a record of the hub's own kind.
///
/// Names and rules are AG2's. Proto/hubaudit/v1/event.proto says which record each event makes, and which events are ignored.
public enum Event: Sendable, Equatable {
  case agent(AgentEvent)
  case channel(ChannelEvent)
  case expectationFired(ExpectationFired)
  case task(TaskEvent)
  case turnFailed(TurnFailed)
  case envelopePosted(EnvelopePosted)
  case envelopeRejected(EnvelopeRejected)
  case dispatchFailed(DispatchFailed)
  case inboxPressure(InboxPressure)
  /// A record of the hub's own kind: the UTF-8 text of one JSON object, kept byte for byte. Its "kind" and "at" become the record's.
  case custom(json: [UInt8])
  /// A line of an imported file that is not a JSON object: any bytes. `unterminated`: the file ended without a newline.
  case unreadableLine([UInt8], unterminated: Bool)
}

/// An agent was registered or unregistered, or its resume, skill or rule changed. `nil`: the hub did not report the field.
public struct AgentEvent: Sendable, Equatable {
  public var agentID: String?
  /// "registered", "unregistered", "resume_set", "observation_recorded", "skill_set" or "rule_set". Events of other kinds are stored
  /// unchanged, as kind `unrecognised`.
  public var kind: String
  /// When it happened, in the hub's own format. If `nil` or empty, the server's time is used.
  public var at: String?
  public var name: String?
  public var version: Int64?
  public var capability: String?
  public var outcome: String?
  /// `nil` means `false`.
  public var removed: Bool?
  /// Whether the hub reported `removed` as null.
  public var removedIsNull: Bool

  public init(
    agentID: String?, kind: String, at: String? = nil, name: String? = nil, version: Int64? = nil, capability: String? = nil,
    outcome: String? = nil, removed: Bool? = nil, removedIsNull: Bool = false
  ) {
    self.agentID = agentID
    self.kind = kind
    self.at = at
    self.name = name
    self.version = version
    self.capability = capability
    self.outcome = outcome
    self.removed = removed
    self.removedIsNull = removedIsNull
  }
}

/// A channel was created, closed or expired. The kinds "opened", "participant_removed" and "participant_hidden" are ignored; events of
/// other kinds are stored unchanged, as kind `unrecognised`.
public struct ChannelEvent: Sendable, Equatable {
  public struct Metadata: Sendable, Equatable {
    public var manifestType: String?
    public var manifestVersion: Int64?
    public var creatorID: String?
    public var participants: [String]

    public init(manifestType: String?, manifestVersion: Int64?, creatorID: String?, participants: [String] = []) {
      self.manifestType = manifestType
      self.manifestVersion = manifestVersion
      self.creatorID = creatorID
      self.participants = participants
    }
  }

  public var channelID: String?
  public var kind: String
  public var at: String?
  public var metadata: Metadata?
  /// Overrides the metadata's list, even if empty.
  public var participants: [String]?
  public var reason: String?

  public init(
    channelID: String?, kind: String, at: String? = nil, metadata: Metadata? = nil, participants: [String]? = nil, reason: String? = nil
  ) {
    self.channelID = channelID
    self.kind = kind
    self.at = at
    self.metadata = metadata
    self.participants = participants
    self.reason = reason
  }
}

/// A channel's expectation was violated.
public struct ExpectationFired: Sendable, Equatable {
  public var channelID: String?
  public var at: String?
  public var expectation: String?
  public var onViolation: String?
  /// The text of a JSON object, kept byte for byte. `nil` means `{}`.
  public var params: [UInt8]?
  public var violators: [String]
  /// The text of a JSON object, kept byte for byte. `nil` means `{}`.
  public var detail: [UInt8]?

  public init(
    channelID: String?, at: String? = nil, expectation: String?, onViolation: String?, params: [UInt8]? = nil, violators: [String] = [],
    detail: [UInt8]? = nil
  ) {
    self.channelID = channelID
    self.at = at
    self.expectation = expectation
    self.onViolation = onViolation
    self.params = params
    self.violators = violators
    self.detail = detail
  }
}

/// A task ended: its kind is "completed", "failed", "expired" or "cancelled". The kinds "started", "progress" and "mirror_failed" are
/// ignored; events of other kinds are stored unchanged, as kind `unrecognised`.
public struct TaskEvent: Sendable, Equatable {
  public var taskID: String?
  public var kind: String
  public var at: String?
  public var ownerID: String?
  public var channelID: String?
  /// `nil` means `kind`.
  public var outcome: String?
  /// Whether the hub reported `outcome` as null.
  public var outcomeIsNull: Bool
  public var capability: String?
  public var reason: String?
  public var startedAt: String?

  public init(
    taskID: String?, kind: String, at: String? = nil, ownerID: String? = nil, channelID: String? = nil, outcome: String? = nil,
    outcomeIsNull: Bool = false, capability: String? = nil, reason: String? = nil, startedAt: String? = nil
  ) {
    self.taskID = taskID
    self.kind = kind
    self.at = at
    self.ownerID = ownerID
    self.channelID = channelID
    self.outcome = outcome
    self.outcomeIsNull = outcomeIsNull
    self.capability = capability
    self.reason = reason
    self.startedAt = startedAt
  }
}

/// An agent's turn failed with an exception.
public struct TurnFailed: Sendable, Equatable {
  public var channelID: String?
  public var agentID: String?
  public var envelopeID: String?
  public var exceptionType: String?
  public var exceptionMessage: String?
  public var at: String?

  public init(
    channelID: String?, agentID: String?, envelopeID: String?, exceptionType: String?, exceptionMessage: String?, at: String? = nil
  ) {
    self.channelID = channelID
    self.agentID = agentID
    self.envelopeID = envelopeID
    self.exceptionType = exceptionType
    self.exceptionMessage = exceptionMessage
    self.at = at
  }
}

/// An envelope was accepted. The log ignores it.
public struct EnvelopePosted: Sendable, Equatable {
  public var envelopeID: String?
  public var channelID: String?
  public var senderID: String?

  public init(envelopeID: String?, channelID: String?, senderID: String?) {
    self.envelopeID = envelopeID
    self.channelID = channelID
    self.senderID = senderID
  }
}

/// An envelope was refused. The log ignores it.
public struct EnvelopeRejected: Sendable, Equatable {
  public var envelopeID: String?
  public var channelID: String?
  public var senderID: String?
  public var reason: String?

  public init(envelopeID: String?, channelID: String?, senderID: String?, reason: String?) {
    self.envelopeID = envelopeID
    self.channelID = channelID
    self.senderID = senderID
    self.reason = reason
  }
}

/// An accepted envelope did not reach one recipient. The log ignores it.
public struct DispatchFailed: Sendable, Equatable {
  public var envelopeID: String?
  public var channelID: String?
  public var recipientID: String?
  public var reason: String?

  public init(envelopeID: String?, channelID: String?, recipientID: String?, reason: String?) {
    self.envelopeID = envelopeID
    self.channelID = channelID
    self.recipientID = recipientID
    self.reason = reason
  }
}

/// An agent's inbox crossed its high-water mark. The log ignores it.
public struct InboxPressure: Sendable, Equatable {
  public var agentID: String?
  public var pending: Int64
  public var capacity: Int64

  public init(agentID: String?, pending: Int64, capacity: Int64) {
    self.agentID = agentID
    self.pending = pending
    self.capacity = capacity
  }
}
