import AuditClient
import AuditSchema
import AuditTLS
import Foundation
import Testing

/// The client over TLS when the network or the server fails.
@Suite(.timeLimit(.minutes(4)))
struct TLSNetworkTests {
  /// The server's files, and the client's.
  private func files(_ ca: TestCA) throws -> (server: TLSFiles, client: ClientTLS) {
    let identity = try ca.issue("server")
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: identity.key)
    return (TLSFiles(certificate: identity.certificate, key: identity.key), ClientTLS(trustRootsFile: ca.certificate))
  }

  @Test("through a network that cuts connections, every event is stored once and every record is followed once, in order")
  func everythingOnce() async throws {
    let seed = SeededGenerator.printedSeed("everythingOnce")
    let count = 3000
    let ca = try TestCA()
    let files = try files(ca)
    try await TestServer.with(tls: files.server) { server in
      // A handshake takes about 2 KiB, so some are cut as well.
      let proxy = CuttingProxy(serverPort: server.port.number, seed: seed, budget: 1000...60_000, holdsBack: true)
      let port = try await proxy.start()
      var configuration = server.configuration(port: port)
      configuration.tls = files.client
      configuration.reconnect.retriesFirstConnection = true
      let log = try RemoteAuditLog(configuration: configuration, logger: quiet)
      for index in 0..<count {
        try log.enqueue(numbered(index))
        if index % 20 == 0 { await Task.yield() }
        if index % 500 == 499 { #expect(try await eventually { log.pending < 100 }, "seed \(seed)") }
      }
      #expect(await log.close(flushTimeout: .seconds(100)) == 0, "seed \(seed)")
      #expect(log.lost == 0)
      #expect(try server.store.allRecords().map { try number(of: $0) } == Array(0..<count), "seed \(seed)")
      var next: UInt64 = 0
      for try await event in LogFollower(configuration: configuration, creditBytes: 16 << 10, logger: quiet) {
        guard case .record(let record) = event else { continue }
        try #require(record.sequence == next, "seed \(seed)")
        next += 1
        if next == count { break }
      }
      #expect(proxy.cuts >= 10, "seed \(seed)")
      try await proxy.stop()
    }
  }

  @Test("a server over TLS that says nothing more is found dead, and what waits for it fails")
  func dead() async throws {
    let ca = try TestCA()
    try await FrameServer(tls: try FrameServer.configuration(try ca.issue("silent"))).with { port in
      var configuration = ClientConfiguration(address: .tls(host: "localhost", port: port))
      configuration.tls = ClientTLS(trustRootsFile: ca.certificate)
      configuration.timeout = .seconds(2)
      configuration.keepAlive = .milliseconds(100)
      let client = try await AuditClient.connect(configuration, logger: quiet)
      #expect(try await eventually { client.closeReason != nil })
      #expect(client.closeReason?.code == .connectionLost)
      #expect(client.closeReason?.message.contains("a ping was not answered") == true)
      await client.close()
    }
  }
}
