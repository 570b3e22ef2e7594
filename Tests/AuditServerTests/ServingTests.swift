import AuditClient
import AuditLog
import AuditSchema
import AuditServer
import Foundation
import Logging
import SegmentStore
import Testing

/// The server on its embedded store, with real files and real sockets, heard through the Swift client.
@Suite(.timeLimit(.minutes(2))) struct ServingTests {
  private static var quiet: Logger {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
  }

  /// Runs `body` against a server on a log of its own.
  private func withServer(_ body: (AuditServer, ClientConfiguration) async throws -> Void) async throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "hubaudit-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var store = SegmentStoreConfiguration()
    store.segmentBytes = 64 << 10
    let log = try AuditLog(store: SegmentStore.open(directory: directory, configuration: store, logger: Self.quiet), logger: Self.quiet)
    var configuration = ServerConfiguration()
    // Hellos may be late when the machine is busy with other tests.
    configuration.helloTimeout = .seconds(300)
    configuration.addresses = [.tcp(host: "127.0.0.1", port: 0)]
    let server = AuditServer(log: log, configuration: configuration, logger: Self.quiet)
    guard case .tcp(let host, let port) = try await server.start().first else { return }
    try await body(server, ClientConfiguration(address: .tcp(host: host, port: port), hub: "h"))
    #expect(try await server.stop())
    try log.close()
  }

  private func fill(_ client: AuditClient, count: Int) async throws {
    for first in stride(from: 0, to: count, by: 100) {
      try await client.append(
        (first..<first + 100).map { .task(TaskEvent(taskID: "t\($0)", kind: "completed", ownerID: "a\($0 % 7)", channelID: "c\($0 % 50)")) }
      )
    }
  }

  @Test("reads in both directions, from everywhere, filtered and limited, are what a look at all records gives")
  func reads() async throws {
    try await withServer { server, configuration in
      let client = try await AuditClient.connect(configuration, logger: Self.quiet)
      try await fill(client, count: 1_000)
      let all = try server.log.readAll()
      let filters = [
        RecordFilter(), RecordFilter(agents: ["a3"]), RecordFilter(channels: ["c7"], tasks: ["t7", "t57"]), RecordFilter(kinds: ["none"]),
        RecordFilter(since: all[300].receivedAt, until: all[700].receivedAt),
      ]
      for filter in filters {
        let matching = all.filter { record in record.encoded.withUnsafeBytes { RecordMatcher(filter).matches($0) } }
        for (start, limit) in [(0, nil), (1, 1), (499, 3), (500, 1_000), (999, nil), (1_000, 5)] as [(UInt64, UInt64?)] {
          let count = limit.map(Int.init) ?? .max
          var found: [UInt64] = []
          for try await record in client.read(from: .sequence(start), filter: filter, limit: limit) { found.append(record.sequence) }
          #expect(found == matching.filter { $0.sequence >= start }.prefix(count).map(\.sequence), "from \(start), \(filter)")
          found = []
          for try await record in client.read(from: .sequence(start), filter: filter, limit: limit, backwards: true) {
            found.append(record.sequence)
          }
          #expect(
            found == matching.filter { $0.sequence < start }.reversed().prefix(count).map(\.sequence), "back from \(start), \(filter)")
        }
      }
      await client.close()
    }
  }

  @Test("a hub's listener over the wire leaves the records of its events, and a follower gets each once")
  func listener() async throws {
    try await withServer { server, configuration in
      let hub = try RemoteAuditLog(configuration: configuration, logger: Self.quiet)
      for number in 0..<300 {
        try await hub.onTaskEvent(TaskEvent(taskID: "t\(number)", kind: number % 3 == 0 ? "progress" : "completed", ownerID: "a"))
      }
      #expect(await hub.close() == 0)
      #expect(server.health().nextSequence == 200)
      var sequences: [UInt64] = []
      for try await event in LogFollower(configuration: configuration, filter: RecordFilter(agents: ["a"]), logger: Self.quiet) {
        if case .record(let record) = event { sequences.append(record.sequence) }
        if case .caughtUp = event { break }
      }
      #expect(sequences == Array(0..<200))
    }
  }

  /// What is to go from memory.
  private final class Remains {
    weak var server: AuditServer?
    weak var log: AuditLog?
    weak var store: SegmentStore?
  }

  @Test("nothing of a stopped server and its closed log stays in memory")
  func leavesNothing() async throws {
    let remains = Remains()
    try await withServer { server, configuration in
      (remains.server, remains.log, remains.store) = (server, server.log, server.log.store as? SegmentStore)
      #expect(remains.store != nil)
      let client = try await AuditClient.connect(configuration, logger: Self.quiet)
      try await fill(client, count: 100)
      try await server.log.append(.task(TaskEvent(taskID: "t", kind: "completed", ownerID: "a")))
      await client.close()
    }
    // The threads of what was stopped let go of it when they end.
    while remains.server != nil || remains.log != nil || remains.store != nil {
      do {
        try await Task.sleep(for: .milliseconds(10))
      } catch {
        Issue.record("server: \(remains.server != nil), log: \(remains.log != nil), store: \(remains.store != nil) are still there")
        return
      }
    }
  }
}
