import Synchronization
import AdminHTTP
import AuditHTTP
import AuditSchema
import MerkleTree
import Testing

/// What the answers say, without sockets.
@Suite struct AnswerTests {
  @Test(
    "readiness and health by what the log tells",
    arguments: [
      ("/readyz", Health.Status.ok, [], [], 200, "ok\n"),
      ("/readyz", .ok, [], ["a bad block"], 200, "ok\n"),
      ("/readyz", .degraded, ["the disk is full"], [], 503, "not ready: the disk is full\n"),
      ("/readyz", .draining, ["a", "b"], [], 503, "not ready: a\nnot ready: b\n"),
      ("/healthz", .ok, [], ["a bad block"], 503, "damaged: a bad block\n"),
      ("/healthz", .degraded, ["a"], ["b"], 503, "not ready: a\ndamaged: b\n"),
      ("/livez", .draining, ["a"], ["b"], 200, "ok\n"),
      ("/readyz?verbose", .ok, [], ["b"], 200, "[+] process ok\n[+] appends ok\n[-] disk: b\n[ ] detail\nready\n"),
      ("/healthz?verbose", .degraded, ["a"], [], 503, "[+] process ok\n[-] appends: a\n[+] disk ok\n[ ] detail\nnot ready\n"),
    ] as [(String, Health.Status, [String], [String], Int, String)])
  func health(
    _ target: String, _ healthStatus: Health.Status, _ reasons: [String], _ damage: [String], _ status: Int, _ body: String
  ) async throws {
    let fixture = try await AdminFixture.make()
    fixture.health.withLock {
      $0.status = healthStatus
      $0.reasons = reasons
      $0.damage = damage
    }
    let responder = try fixture.responder(isOpen: true)
    let (answer, _) = await responder.answer(request(target))
    #expect(answer.status == status && answer.text == body)
    #expect(answer.contentType == "text/plain; charset=utf-8" && answer.cacheControl == "no-store")
  }

  @Test("with an access file, what everybody may ask gives no reason")
  func noReasons() async throws {
    let fixture = try await AdminFixture.make()
    fixture.health.withLock {
      $0.status = .degraded
      $0.reasons = ["/secret/path"]
    }
    let responder = try fixture.responder()
    let closed = await responder.answer(request("/readyz", AdminFixture.operatorToken)).answer
    #expect(closed.status == 503 && closed.text == "not ready\n")
    #expect(await responder.answer(request("/readyz?verbose", AdminFixture.operatorToken)).answer.text.contains("/secret/path"))
  }

  @Test("metrics, index, the unknown and the malformed: types and bodies")
  func bodies() async throws {
    let responder = try await AdminFixture.make().responder(isOpen: true)
    let metrics = await responder.answer(request("/metrics")).answer
    #expect(metrics.contentType == "text/plain; version=0.0.4; charset=utf-8")
    #expect(metrics.text == "# HELP up Up.\n# TYPE up gauge\nup 1\n")
    let index = await responder.answer(request("/")).answer
    #expect(index.contentType == "text/html; charset=utf-8")
    for page in ["/livez", "/readyz?verbose", "/healthz?verbose", "/metrics", "/checkpoint"] {
      #expect(index.text.contains("<a href=\"\(page)\">"))
      #expect(await responder.answer(request(page)).answer.status == 200)
    }
    let unknown = await responder.answer(request("/nothing")).answer
    #expect(unknown.text == "not found; there are /, /livez, /readyz, /healthz, /metrics, /checkpoint and /tile\n")
    let malformed = await responder.answer(request("/tile/0/<b>")).answer
    #expect(malformed.status == 400 && malformed.contentType == "text/plain; charset=utf-8")
  }

  @Test("a tile has the hashes of the tree that the checkpoint signs")
  func tiles() async throws {
    let responder = try await AdminFixture.make().responder(isOpen: true)
    let note = await responder.answer(request("/checkpoint")).answer.text.split(separator: "\n")
    #expect(note[0] == "log.example/hubs")
    let size = try #require(Int(note[1]))
    let tile = await responder.answer(request("/tile/0/000.p/\(size)")).answer
    #expect(tile.contentType == "application/octet-stream" && tile.body.count == 32 * size)
    var tree = CompactRange()
    for start in stride(from: 0, to: tile.body.count, by: 32) {
      tree.append(try #require(TreeHash(tile.body[start..<start + 32])))
    }
    #expect(tree.root.base64 == note[2])
    #expect(await responder.answer(request("/tile/0/000.p/\(size + 1)")).answer.status == 404)
  }

  @Test("a read of entries is told to the server, with who, what and whether it got it")
  func reads() async throws {
    let fixture = try await AdminFixture.make()
    let responder = try fixture.responder()
    let token = AdminFixture.readerToken
    let entries = await responder.answer(request("/tile/entries/000.p/2", token)).answer
    #expect(entries.status == 200 && entries.cacheControl == "private, max-age=31536000, immutable")
    _ = await responder.answer(request("/tile/entries/009", token))
    #expect(fixture.told.withLock { $0.reads } == ["token:reader 0..<2 whole", "token:reader 2304..<2560 failed"])
  }

  @Test("while reads cannot be recorded, entries are refused with the reason, and hashes are not")
  func unrecordable() async throws {
    let fixture = try await AdminFixture.make()
    fixture.readRefusal.withLock { $0 = RequestError(.storageFull, "no room for the record of a read") }
    let responder = try fixture.responder()
    let refused = await responder.answer(request("/tile/entries/000.p/2", AdminFixture.readerToken)).answer
    #expect(refused.status == 503 && refused.text.contains("no room for the record of a read") && refused.isOfKnownPeer)
    #expect(fixture.told.withLock { $0.reads.isEmpty })
    #expect(await responder.answer(request("/tile/0/000.p/2", AdminFixture.proverToken)).answer.status == 200)
  }
}
