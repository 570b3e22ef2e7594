import AccessControl
import AuditClient
import AuditLog
import AuditSchema
import AuditServer
import Foundation
import Logging
import SegmentStore
import TestSupport
import Testing

/// A subscription without end is on record while it goes on.
@Suite(.timeLimit(.minutes(2))) struct LongReadTests {
  /// Lets everybody in, as the same reader.
  private struct Reader: AccessJudge {
    var identity: Identity {
      var rights = IdentityRights()
      rights.read = ReadRights(allow: [ReadRights.Rule(hubs: [.all])])
      return Identity(name: "reader", principal: "token:r", rights: rights, expiresAt: nil, evidence: [])
    }

    func authenticate(_ credentials: Credentials, now: UInt64) async throws(AuthenticationFailure) -> Identity { identity }
    func judgeAgain(_ identity: Identity, now: UInt64) throws(AuthenticationFailure) -> Identity { identity }
  }

  @Test("a subscription that goes on is recorded at intervals, and once more when it ends")
  func running() async throws {
    let logger = LogLines().logger
    let store = try SegmentStore(directory: "/log", configuration: .init(), fileSystem: MemoryFileSystem(), logger: logger)
    let log = try AuditLog(store: store, hub: "h", logger: logger)
    try await log.append((0..<5).map { .custom(json: Array("{\"n\": \($0)}".utf8)) })
    var configuration = ServerConfiguration()
    configuration.helloTimeout = .seconds(300)
    configuration.longReadInterval = .milliseconds(50)
    configuration.addresses = [.tcp(host: "127.0.0.1", port: 0)]
    let server = AuditServer(log: log, configuration: configuration, logger: logger, access: ServerAccess(Reader()))
    guard case .tcp(let host, let port) = try await server.start().first else { return }
    var client = ClientConfiguration(address: .tcp(host: host, port: port))
    client.token = .text("any")

    func recorded(_ outcome: String) throws -> [Record] {
      try log.readAll().filter { $0.hub == HubName.ofTheLog && String(decoding: $0.encoded, as: UTF8.self).contains(outcome) }
    }
    let follower = try await AuditClient.connect(client, logger: logger)
    var count: UInt64 = 0
    for try await event in follower.subscribe() {
      if case .record = event { count += 1 }
      // Its own records of access it may not see.
      guard count == 5 else { continue }
      while try recorded("running").count < 2 { try await Task.sleep(for: .milliseconds(10)) }
      break
    }
    await follower.close()
    while try recorded("closed").isEmpty, try recorded("\"end\"").isEmpty { try await Task.sleep(for: .milliseconds(10)) }
    try await server.stop()
    try log.close()
  }
}
