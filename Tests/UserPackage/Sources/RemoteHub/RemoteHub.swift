import AuditClient
import AuditSchema

/// A hub that appends two events to a server and reads them back: `swift run RemoteHub 127.0.0.1:7411`.
@main
struct RemoteHub {
  static func main() async throws {
    let server = try ServerAddress(parsing: CommandLine.arguments.dropFirst().first ?? "127.0.0.1:7411")
    let client = try await AuditClient.connect(ClientConfiguration(address: server, hub: "first-hub"))

    let events: [Event] = [
      .agent(AgentEvent(agentID: "a-1", kind: "registered", name: "planner")),
      .custom(json: Array(#"{"kind": "deployed", "version": "1.4.2"}"#.utf8)),
    ]
    do {
      let appended = try await client.append(events)
      print("stored \(appended.recorded) records")
      if let first = appended.firstSequence {
        for try await record in client.read(from: .sequence(first), limit: 2) {
          print(record.sequence, record.kind ?? "-", String(decoding: try record.json() ?? [], as: UTF8.self))
        }
      }
    } catch let error as ClientError where error.isConnectionFailure {
      print("the events may or may not be stored: \(error)")
    }
    await client.close()
  }
}
