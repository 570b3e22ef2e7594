import AuditSchema

/// Why an access file allows or refuses something.
package struct AccessExplanation: Sendable {
  package let isAllowed: Bool
  /// What decides, with the lines of the file.
  package let reasons: [String]
}

extension AccessTable {
  /// What somebody might ask.
  package enum Question: Sendable {
    case publish(hub: String)
    /// `kind`: `nil` for a record without one.
    case read(hub: String, kind: String?)
    /// `prove`, `erase` or `operate`.
    case right(String)
  }

  /// - Returns: `nil` if the file does not name the identity.
  package func explain(_ name: String, _ question: Question) -> AccessExplanation? {
    guard let rights = rights(of: name) else { return nil }
    switch question {
    case .publish(let hub):
      return explanation(
        rights.mayPublish(hub: hub), grants: lines(name, "publish") { Self.names("hubs", in: $0, hub) }, "to publish on hub \"\(hub)\"",
        hint: rights.publish.contains { $0.matches(hub) } ? "a deny wins over every grant" : nil)
    case .read(let hub, let kind):
      let isAllowed = rights.read.map { read in
        var hub = hub
        return hub.withUTF8 { hub in
          guard var kind else { return read.allows(hub: UnsafeRawBufferPointer(hub), kind: nil) }
          return kind.withUTF8 { read.allows(hub: UnsafeRawBufferPointer(hub), kind: UnsafeRawBufferPointer($0)) }
        }
      }
      let what = "to read records of hub \"\(hub)\"" + (kind.map { " and kind \"\($0)\"" } ?? " without a kind")
      let found = lines(name, "read") { words in
        Self.names("hubs", in: words, hub)
          && (!words.contains { $0.hasPrefix("kinds=") } || kind.map { Self.names("kinds", in: words, $0) } ?? false)
      }
      let isOwn = hub == HubName.ofTheLog
      return explanation(
        isAllowed ?? false, grants: found, what,
        hint: isOwn && isAllowed != true ? "hub \"\(hub)\" is the log's own: a grant has to name it, * does not" : nil)
    case .right(let right):
      let isAllowed = right == "prove" ? rights.mayProve : right == "erase" ? rights.mayErase : rights.mayOperate
      return explanation(isAllowed, grants: lines(name, right) { _ in true }, "to \(right)", hint: nil)
    }
  }

  private func explanation(_ isAllowed: Bool, grants: [String], _ what: String, hint: String?) -> AccessExplanation {
    var reasons = grants
    if grants.isEmpty { reasons.append("no line gives the right \(what); nothing is allowed by default") }
    if !isAllowed, let hint { reasons.append(hint) }
    return AccessExplanation(isAllowed: isAllowed, reasons: reasons)
  }

  /// The grants and denials of a right whose parameters name what is asked for. One line may have several rights.
  private func lines(_ name: String, _ right: String, _ matches: ([String]) -> Bool) -> [String] {
    file.statements.compactMap { line, words in
      guard ["grant", "deny"].contains(words[0]), words.count > 2, words[1] == name, let at = words.firstIndex(of: right) else {
        return nil
      }
      guard matches(Array(words[(at + 1)...].prefix { $0.contains("=") })) else { return nil }
      return "\(path):\(line): \(words.joined(separator: " "))"
    }
  }

  private static func names(_ key: String, in words: [String], _ value: String) -> Bool {
    guard let list = words.first(where: { $0.hasPrefix(key + "=") })?.dropFirst(key.count + 1) else { return false }
    return list.split(separator: ",").contains { NamePattern(String($0))?.matches(value) ?? false }
  }
}
