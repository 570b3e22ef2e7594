import AuditClient
import AuditLog
import AuditSchema
import AuditServer
import MerkleTree
import TestSupport
import Testing

/// What an append that asks for proof is answered with.
@Suite struct ProvenAppendTests {
  @Test("every record of a proven append comes with its receipt in the answer itself, also when a checkpoint covers all before it")
  func receipts() async throws {
    let key = try SignerKey.generate(name: SignedLog.origin, kind: .ed25519)
    let log = try await SignedLog.open(MemoryFileSystem(), signers: [key], segmentBytes: 32 << 10, now: { UTCTime.now() })
    var configuration = ServerConfiguration()
    configuration.addresses = [.tcp(host: "127.0.0.1", port: 0)]
    // All of the machine may be at other tests.
    configuration.helloTimeout = .seconds(300)
    let server = AuditServer(log: log, configuration: configuration, logger: SignedLog.quiet)
    guard case .tcp(let host, let port) = try await server.start().first else { return }
    var connection = ClientConfiguration(address: .tcp(host: host, port: port))
    connection.hub = "hub"
    connection.timeout = .seconds(300)
    let client = try await AuditClient.connect(connection, logger: SignedLog.quiet)
    for count in [1, 1, 3, 1, 256] {
      // The newest covers everything but what comes now.
      #expect(log.newestCheckpoint?.size == log.nextSequence)
      let events = (0..<count).map { Event.custom(json: Array(#"{"n": \#($0)}"#.utf8)) }
      let receipts = try await client.append(events, proven: true).receipts()
      #expect(receipts.count == count)
      for receipt in receipts {
        let record = try #require(try log.readAll().first { $0.sequence == receipt.sequence })
        try receipt.verify(header: record.encodedHeader, keys: [key.verifier])
      }
    }
    await client.close()
    try await server.stop()
    try log.close()
  }
}
