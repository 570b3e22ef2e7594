import AuditSchema
import AuditServer
import AuditWitness

/// The state of signing, witnesses, clock and scrub as lines of text, for `hubaudit health` and `?verbose`.
enum HealthLines {
  static func lines(_ health: Health) -> [(name: String, text: String)] {
    var lines: [(String, String)] = [("signed", signed(health))]
    if health.signer != nil, let quorum = health.quorum { lines.append(("quorum", text(quorum, health))) }
    for witness in health.witnesses { lines.append(("witness", text(witness, health))) }
    if let step = health.clockStep {
      lines.append(
        ("clock", "set \(times(health.clockSteps)) since the start, last from \(UTCTime.rfc3339(step.from)) to \(UTCTime.rfc3339(step.to))")
      )
    }
    lines.append(("scrub", scrub(health)))
    return lines
  }

  private static func signed(_ health: Health) -> String {
    let key = health.signer.map { "by \($0)" } ?? "no, nobody can check what is appended; give --signing-key"
    guard let size = health.checkpointSize else { return health.signer == nil ? key : "\(key); no checkpoint yet" }
    let since = health.nextSequence - min(size, health.nextSequence)
    let stored = health.checkpointStoredAt.map { ", stored \(ago($0, health))" } ?? ""
    return "\(key); the newest checkpoint covers \(counted(size, "record"))\(stored); \(counted(since, "record")) since"
  }

  private static func text(_ quorum: Health.Quorum, _ health: Health) -> String {
    guard quorum.size > 0 || quorum.storedAt != nil else { return "no checkpoint has it yet" }
    let stored = quorum.storedAt.map { ", stored \(ago($0, health))" } ?? ""
    return "the newest checkpoint that has it covers \(counted(quorum.size, "record"))\(stored)"
  }

  private static func text(_ witness: WitnessHealth, _ health: Health) -> String {
    let cosigned = witness.cosignedSize.map { "\(counted($0, "record")) cosigned" } ?? "nothing cosigned yet"
    let when = witness.cosignedAt.map { ", last \(ago($0, health))" } ?? ""
    let state = witness.isContradicted ? "says that this is not the log it cosigned" : witness.failure ?? "ok"
    return "\(witness.name): \(cosigned)\(when); \(state)"
  }

  private static func scrub(_ health: Health) -> String {
    let ended = health.scrubEndedAt.map { ", last ended \(ago($0, health))" } ?? ""
    let found = health.damage.isEmpty ? "nothing found" : "\(health.damage.count) found damaged"
    return
      "\(counted(health.scrubRounds, "round"))\(ended), \(counted(health.scrubbedRecords, "record")) read again since the start; \(found)"
  }

  private static func times(_ count: UInt64) -> String { count == 1 ? "once" : "\(count) times" }

  /// Age by the server's clock. A witness's clock may be ahead of it.
  private static func ago(_ time: UInt64, _ health: Health) -> String {
    guard time <= health.now else { return "at \(UTCTime.rfc3339(time))" }
    let seconds = (health.now - time) / 1_000_000_000
    switch seconds {
    case ..<120: return "\(seconds) s ago"
    case ..<7200: return "\(seconds / 60) min ago"
    case ..<172_800: return "\(seconds / 3600) h ago"
    default: return "\(seconds / 86_400) days ago"
    }
  }
}

extension CosignatureCollector {
  /// Maximum bytes of a witness's error that are shown.
  private static let maxFailureBytes = 512

  /// One line for each witness.
  var health: [WitnessHealth] {
    statuses.map { name, status in
      WitnessHealth(
        name: name, cosignedSize: status.cosignedSize > 0 || status.cosignedAt != nil ? status.cosignedSize : nil,
        cosignedAt: status.cosignedAt.map { $0.multipliedReportingOverflow(by: 1_000_000_000) }.flatMap {
          $0.overflow ? nil : $0.partialValue
        },
        failure: status.failure.map { String(decoding: $0.utf8.prefix(Self.maxFailureBytes), as: UTF8.self) },
        isContradicted: status.isContradicted)
    }
  }
}
