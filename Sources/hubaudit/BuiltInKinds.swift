import HubauditSettings

/// The kinds of AG2's records.
enum BuiltInKinds {
  static let all = [
    "agent_registered", "agent_unregistered", "resume_set", "skill_set", "rule_set", "channel_created", "channel_closed", "channel_expired",
    "expectation_violated", "task_terminated", "turn_failed",
  ]

  /// A warning for a kind that is nearly a built-in one; `nil` for others.
  static func warning(_ kind: String) -> String? {
    Spelling.nearest(to: kind, among: all, within: 1).map {
      "the kind \"\(kind)\" is one letter from AG2's \"\($0)\"; it is recorded as it is"
    }
  }
}
