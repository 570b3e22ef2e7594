import AuditLog
import AuditSchema
import SegmentStore

/// A log inside the program, on local disk, with a subscriber: `swift run EmbeddedLog DIRECTORY`.
@main
struct EmbeddedLog {
  static func main() async throws {
    let directory = CommandLine.arguments.dropFirst().first ?? "log"
    let log = try AuditLog(store: SegmentStore.open(directory: directory), hub: "first-hub")
    try await log.finishOpening()

    let end = log.nextSequence + 2
    let (delivered, continuation) = AsyncStream.makeStream(of: Never.self)
    let subscription = log.subscribe { record in
      print(record.sequence, record.kind ?? "-", String(decoding: try record.json() ?? [], as: UTF8.self))
      if record.sequence + 1 == end { continuation.finish() }
    }

    try await log.append(.agent(AgentEvent(agentID: "a-1", kind: "registered", name: "planner")))
    try await log.append(json: Array(#"{"kind": "deployed", "version": "1.4.2"}"#.utf8))
    for await _ in delivered {}

    log.unsubscribe(subscription)
    try log.close()
  }
}
