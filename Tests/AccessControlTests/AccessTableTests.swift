import AccessControl
import AuditSchema
import Testing

/// What an access file says, and what is wrong with one.
@Suite struct AccessTableTests {
  private static let digest = String(repeating: "ab", count: 32)

  @Test(
    "a word that is not understood is an error that names its line",
    arguments: [
      ("identty bank cert spiffe://a/b", "is no statement"),
      ("identity bank", "needs a name and a credential"),
      ("identity ba/nk cert spiffe://a/b", "is no name"),
      ("identity bank passport spiffe://a/b", "is no credential"),
      ("identity bank cert bank.example", "is no URI"),
      ("identity bank cert spiffe://a/\(String(repeating: "x", count: 128))", "is no URI"),
      ("identity bank token UPPER sha256:\(digest)", "is no token's id"),
      ("identity bank token a sha256:00", "is not sha256: and 64 hex digits"),
      ("identity bank token a md5:\(digest)", "is not sha256: and 64 hex digits"),
      ("identity bank token a sha256:\(digest) until tomorrow", "is neither a date"),
      ("identity bank token a sha256:\(digest) until", "not of the form"),
      ("identity bank unix nobody-of-this-name", "has no user"),
      ("grant bank publish hubs=a", "there is no identity bank"),
      ("identity b unix 1\ngrant b publish", "publish needs hubs="),
      ("identity b unix 1\ngrant b publish hubs=a*b", "neither a name nor"),
      ("identity b unix 1\ngrant b publish hubs=", "is not one of hubs="),
      ("identity b unix 1\ngrant b publish hubs=a hubs=b", "given twice"),
      ("identity b unix 1\ngrant b publish kinds=a", "is not one of hubs="),
      ("identity b unix 1\ngrant b read kinds=a", "read needs hubs="),
      ("identity b unix 1\ngrant b write hubs=a", "is no right"),
      ("identity b unix 1\ngrant b prove hubs=a", "takes nothing"),
      ("identity b unix 1\ndeny b prove", "cannot be denied"),
      ("identity b unix 1\nquota b connections=0", "is not a number greater than 0"),
      ("identity b unix 1\nquota b connections=2MB", "is not a number greater than 0"),
      ("identity b unix 1\nquota b replay=fast", "such as replay=20MB/s"),
      ("identity b unix 1\nquota b disk=1", "is not one of connections="),
      ("revoke serial xyz", "no serial number"),
      ("revoke name b", "cannot be revoked"),
      ("issuer a jwks=f iss=i", "needs all of"),
      ("identity a unix 1\nidentity b unix 1", "have the same credential"),
      ("identity a cert x:1\nidentity b cert x:1", "have the same credential"),
      ("identity a token t sha256:\(digest)\nidentity b token t sha256:\(digest)", "have the same credential"),
    ])
  func wrong(text: String, sentence: String) {
    let error = #expect(throws: AccessFileError.self) { try AccessTable("# one\n\n" + text) }
    #expect(error?.sentence.contains(sentence) == true, "\(error?.description ?? "")")
    #expect(error?.line.map { $0 >= 3 } == true)
  }

  @Test("rights, quotas and comments are read; a statement may stand before what it names")
  func right() throws {
    let table = try AccessTable(
      """
      grant bank  publish hubs=bank,bank-*  read hubs=bank* kinds=task_*,k  prove # and so on
      deny  bank  publish hubs=bank-secret
      identity bank cert spiffe://a/b   # the hub
      identity bank token t1 sha256:\(Self.digest) until 2027-01-01
      quota bank connections=50 bytes=20MB/s producers=100 subscriptions=7 filter-bytes=64KiB replay=50MB/s
      """)
    let rights = try #require(table.rights(of: "bank"))
    #expect(rights.mayPublish(hub: "bank") && rights.mayPublish(hub: "bank-1") && !rights.mayPublish(hub: "banks"))
    #expect(!rights.mayPublish(hub: "bank-secret"))
    #expect(rights.mayProve && !rights.mayErase && !rights.mayOperate)
    #expect(rights.quota.bytesPerSecond == 20_000_000 && rights.quota.filterBytes == 65_536 && rights.quota.connections == 50)
    #expect(table.rights(of: "other") == nil)
  }

  @Test("a token is found by its id and compared as a whole; an id may have two secrets while they are exchanged")
  func tokens() async throws {
    let (old, new) = (AccessToken(id: "t"), AccessToken(id: "t"))
    func line(_ token: AccessToken) -> String { "sha256:" + token.sha256.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
    let table = try AccessTable("identity a token t \(line(old)) until 2026-06-01\nidentity a token t \(line(new))")
    let may: UInt64 = 1_780_000_000_000_000_000
    for (token, now, cause) in [
      (old.text, may, nil), (new.text, may, nil), (old.text, may + 10_000_000_000_000_000, .expired),
      (AccessToken(id: "t").text, may, .wrongSecret), (AccessToken(id: "u").text, may, .unknownToken),
      (old.text + "0", may, .malformedToken),
      ("", may, .malformedToken),
    ] as [(String, UInt64, AuthenticationFailure.Cause?)] {
      do throws(AuthenticationFailure) {
        let identity = try await table.authenticate(Credentials(token: token), now: now)
        #expect(cause == nil && identity.principal == "token:t" && identity.name == "a")
        #expect(identity.expiresAt == (token == old.text ? 1_780_272_000_000_000_000 : nil))
      } catch {
        #expect(error.cause == cause)
        #expect(!error.description.contains(token) || token.isEmpty, "the log gets no secret")
      }
    }
  }
}
