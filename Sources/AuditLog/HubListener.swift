import AuditSchema

/// Is told what happens in an agent hub: AG2's `HubListener`, event by event.
///
/// A hub calls its listeners one after the other, after the change has been made. A listener that throws must not stop the hub.
public protocol HubListener: Sendable {
  func onAgentEvent(_ event: AgentEvent) async throws
  func onChannelEvent(_ event: ChannelEvent) async throws
  func onExpectationFired(_ event: ExpectationFired) async throws
  func onTaskEvent(_ event: TaskEvent) async throws
  func onTurnFailed(_ event: TurnFailed) async throws
  func onEnvelopePosted(_ event: EnvelopePosted) async throws
  func onEnvelopeRejected(_ event: EnvelopeRejected) async throws
  func onDispatchFailed(_ event: DispatchFailed) async throws
  func onInboxPressure(_ event: InboxPressure) async throws
}

/// Default implementations that do nothing.
extension HubListener {
  public func onAgentEvent(_ event: AgentEvent) async throws {}
  public func onChannelEvent(_ event: ChannelEvent) async throws {}
  public func onExpectationFired(_ event: ExpectationFired) async throws {}
  public func onTaskEvent(_ event: TaskEvent) async throws {}
  public func onTurnFailed(_ event: TurnFailed) async throws {}
  public func onEnvelopePosted(_ event: EnvelopePosted) async throws {}
  public func onEnvelopeRejected(_ event: EnvelopeRejected) async throws {}
  public func onDispatchFailed(_ event: DispatchFailed) async throws {}
  public func onInboxPressure(_ event: InboxPressure) async throws {}
}
