import ArgumentParser
import AuditClient
import AuditSchema
import Foundation
import MerkleTree

extension OutputOptions {
  /// Whether output other than records is text for people.
  func isTable() throws -> Bool {
    if output == .raw { throw CommandFailure(.usage, "-o raw is for records; give table or json") }
    return (output ?? (StandardOutput.isTerminal ? .table : .json)) == .table
  }
}

/// `hubaudit health`: exit 0 when the server takes appends.
struct HealthCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "health",
    abstract: "Ask a server how it is; exit 0 when it takes appends and nothing is damaged, 1 when not, 2 when it cannot be reached.")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let isTable = try output.isTable()
    let client = try await connection.connect()
    let health = try await ConnectionOptions.reporting { try await client.health() }
    await client.close()
    let id = Hex.encode(health.logID)
    if isTable {
      print("status      \(health.status)")
      for reason in health.reasons { print("reason      \(TerminalText.escaped(reason))") }
      for sentence in health.damage { print("damage      \(TerminalText.escaped(sentence))") }
      print("server      \(TerminalText.escaped(health.server)), up \(health.uptimeNanoseconds / 1_000_000_000) s")
      print("log         \(id)")
      print("records     \(health.nextSequence - health.firstSequence) (next sequence \(health.nextSequence))")
      print("stored      \(counted(health.logBytes, "byte")) in \(counted(health.segments, "segment"))")
      print("appended    \(counted(health.recordsAppended, "record")) in \(counted(health.commits, "commit")) since the start")
      for (name, text) in HealthLines.lines(health) {
        print("\(name)\(String(repeating: " ", count: 12 - name.count))\(TerminalText.escaped(text))")
      }
      print("connections \(health.connections), subscriptions \(health.subscriptions)")
      if let file = health.tornFile {
        print("torn        \(counted(health.tornBytes, "byte")) cut at the last start, kept in \(TerminalText.escaped(file))")
      }
    } else {
      var object = ObjectWriter()
      object.token("checkpoint_size", health.checkpointSize.map { "\($0)" } ?? "null")
      object.optional("checkpoint_stored_at", health.checkpointStoredAt.map { UTCTime.rfc3339($0) })
      object.optional("clock_stepped_from", health.clockStep.map { UTCTime.rfc3339($0.from) })
      object.optional("clock_stepped_to", health.clockStep.map { UTCTime.rfc3339($0.to) })
      object.token("clock_steps", "\(health.clockSteps)")
      object.token("commits", "\(health.commits)")
      object.token("connections", "\(health.connections)")
      object.json("damage", Array(try JSONEncoder.sorted.encode(health.damage)))
      object.token("first_sequence", "\(health.firstSequence)")
      object.token("log_bytes", "\(health.logBytes)")
      object.literal("log_id", id)
      object.token("next_sequence", "\(health.nextSequence)")
      object.literal("now", UTCTime.rfc3339(health.now))
      object.token("quorum_size", health.quorum.map { "\($0.size)" } ?? "null")
      object.optional("quorum_stored_at", health.quorum?.storedAt.map { UTCTime.rfc3339($0) })
      object.json("reasons", Array(try JSONEncoder.sorted.encode(health.reasons)))
      object.token("records_appended", "\(health.recordsAppended)")
      object.optional("scrub_ended_at", health.scrubEndedAt.map { UTCTime.rfc3339($0) })
      object.token("scrub_rounds", "\(health.scrubRounds)")
      object.token("scrubbed_records", "\(health.scrubbedRecords)")
      object.token("segments", "\(health.segments)")
      object.literal("server", health.server)
      object.optional("signer", health.signer)
      object.literal("status", "\(health.status)")
      object.token("subscriptions", "\(health.subscriptions)")
      object.token("torn_bytes", "\(health.tornBytes)")
      object.optional("torn_file", health.tornFile)
      object.token("uptime_seconds", "\(Double(health.uptimeNanoseconds / 1_000_000) / 1000)")
      object.json("witnesses", Array(try JSONEncoder.sorted.encode(health.witnesses.map(WitnessLine.init))))
      try StandardOutput.json(object.finished())
    }
    if health.status != .ok || !health.damage.isEmpty { throw CommandFailure(.failure) }
  }
}

/// A witness in the JSON. Unknown values are left out.
private struct WitnessLine: Encodable {
  let cosigned_at: String?
  let cosigned_size: UInt64?
  let contradicts: Bool
  let failure: String?
  let name: String

  init(_ witness: WitnessHealth) {
    cosigned_at = witness.cosignedAt.map { UTCTime.rfc3339($0) }
    cosigned_size = witness.cosignedSize
    contradicts = witness.isContradicted
    failure = witness.failure
    name = witness.name
  }
}
