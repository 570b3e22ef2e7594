import AuditClient
import Testing

struct ServerAddressTests {
  @Test(
    "an address is read in every form that is written",
    arguments: [
      ("127.0.0.1:9000", ServerAddress.tcp(host: "127.0.0.1", port: 9000)),
      ("log.example", .tcp(host: "log.example", port: 7411)),
      ("hubaudit://log.example:1", .tcp(host: "log.example", port: 1)),
      ("hubaudit://log.example/", .tcp(host: "log.example", port: 7411)),
      ("hubaudits://log.example", .tls(host: "log.example", port: 7411)),
      ("hubaudits://[::1]:1/", .tls(host: "::1", port: 1)),
      ("[::1]:7411", .tcp(host: "::1", port: 7411)),
      ("[::1]", .tcp(host: "::1", port: 7411)),
      ("fe80::1", .tcp(host: "fe80::1", port: 7411)),
      ("unix:/run/hubaudit.sock", .unix(path: "/run/hubaudit.sock")),
      ("unix:///run/hubaudit.sock", .unix(path: "/run/hubaudit.sock")),
    ])
  func reads(text: String, address: ServerAddress) throws {
    let parsed = try ServerAddress(parsing: text)
    #expect(parsed == address)
    #expect(try ServerAddress(parsing: parsed.description) == address)
  }

  @Test(
    "what is no address is refused with the reason",
    arguments: [
      "", ":7411", "host:", "host:0", "host:65536", "host:x", "http://host:1", "hubaudits://", "hubauditss://host", "[::1", "[::1]x",
      "unix:", "a b", "host/path",
      "unix:/" + String(repeating: "x", count: 107),
    ])
  func refuses(text: String) {
    #expect { try ServerAddress(parsing: text) } throws: { error in
      (error as? ClientError)?.code == .invalidAddress && (error as? ClientError)?.message.contains("\"\(text)\"") == true
    }
  }
}
