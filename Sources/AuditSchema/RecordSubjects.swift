extension Record {
  /// The agents that a filter would match: agent, owner, creator, participants and violators. Each once.
  package var agents: [String] {
    guard let encodedBody else { return [] }
    var found: [String] = []
    encodedBody.withUnsafeBytes { body in
      RecordValues.forEach(inBody: body) { field, value in
        guard field == .agent else { return }
        let agent = String(decoding: value, as: UTF8.self)
        if !found.contains(agent) { found.append(agent) }
      }
    }
    return found
  }
}
