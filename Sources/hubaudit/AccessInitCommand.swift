import AccessControl
import ArgumentParser
import Foundation

extension AccessCommand {
  struct Init: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "init",
      abstract: "Make what a secured server needs: a root, certificates, a token, an access file, a configuration file.",
      discussion: """
        hubaudit access init secure --host audit.example.com --hub bank
        hubaudit serve --config secure/hubaudit.conf --data log --listen 0.0.0.0:7411

        For trying it out, and for small sites. Where there is a certificate authority already, use its certificates, and keep only the access file. \
        ca.key signs for everybody: keep it where the server is not.
        """)

    @Argument(help: "The directory; made if it is missing.", completion: .directory) var directory: String
    @Option(help: "A name or address that clients use for the server, besides localhost; may be given several times.") var host: [String] =
      []
    @Option(help: "The first hub: it gets a certificate, and may publish as hub NAME and NAME-*.") var hub = "hub"
    @Option(parsing: .unconditional, help: "How long the certificates are valid, in days; the root is valid for ten years.") var days = 90

    func run() async throws {
      let paths = AccessDirectory(directory)
      do {
        try FileManager.default.createDirectory(
          atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      } catch { throw CommandFailure(.failure, "\(directory): \(error.localizedDescription)") }
      // Nothing is half made: the file that stands for all comes first.
      guard !FileManager.default.fileExists(atPath: paths["access"]) else {
        throw CommandFailure(
          .failure, "\(paths["access"]) exists; it is not overwritten. Certificates for more clients: hubaudit access cert")
      }
      guard (1...3650).contains(days) else { throw CommandFailure(.usage, "--days: \(days) is not between 1 and 3650") }
      guard hub != "auditor", hub != "operator" else { throw CommandFailure(.usage, "--hub: \(hub) is another identity of the file") }
      let authority = try CertificateAuthority(name: "hubaudit root of \(ProcessInfo.processInfo.hostName)", days: 3650)
      let root = try authority.pair
      try PrivateFile.make(paths["ca.key"], root.key)
      try PrivateFile.make(paths["ca.pem"], root.certificate, mode: 0o644)
      let (names, addresses) = Self.split(host)
      let server = try authority.issue(
        .server(names: names + ["localhost"], addresses: addresses + [[127, 0, 0, 1], [UInt8](repeating: 0, count: 15) + [1]]),
        name: names.first ?? "localhost", days: days)
      try PrivateFile.make(paths["server.key"], server.key)
      try PrivateFile.make(paths["server.pem"], server.certificate, mode: 0o644)
      let hubLine = try paths.addClient(hub, uri: AccessDirectory.uri(hub), authority, days: days)
      let auditor = try Self.token("auditor", paths)
      let `operator` = try Self.token("operator", paths)
      let access = """
        # Who may do what: hubaudit access explain, hubaudit access check, Documentation/access.md.
        \(hubLine)
        \(auditor)
        \(`operator`)

        grant \(hub) publish hubs=\(hub),\(hub)-*
        # Everything, the log's own records too.
        grant auditor read hubs=*,hubaudit prove
        grant operator operate

        """
      try PrivateFile.make(
        paths["hubaudit.conf"],
        """
        access = \(Self.absolute(paths["access"]))
        tls-cert = \(Self.absolute(paths["server.pem"]))
        tls-key = \(Self.absolute(paths["server.key"]))
        client-ca = \(Self.absolute(paths["ca.pem"]))

        """)
      try PrivateFile.make(paths["access"], access)
      _ = try await AccessCommand.load(paths["access"], .failure)
      print(
        """
        \(paths["hubaudit.conf"])    for the server: hubaudit serve --config \(paths["hubaudit.conf"]) --data DIR
        \(paths["access"])           who may do what; read again when it changes
        \(paths["server.pem"]), server.key   the server's certificate, for \(days) days
        \(paths["ca.pem"])           the root: every client gets it (--cacert)
        \(paths["ca.key"])           signs more certificates (hubaudit access cert); keep it elsewhere
        \(paths["\(hub).pem"]), \(hub).key   for the hub: --cacert ca.pem --cert \(hub).pem --key \(hub).key
        \(paths["auditor.token"]), operator.token   for people: --cacert ca.pem --token-file FILE
        """)
    }

    private static func token(_ name: String, _ paths: AccessDirectory) throws -> String {
      let token = AccessToken(id: name)
      try PrivateFile.make(paths["\(name).token"], token.text + "\n")
      return "identity \(name) token \(name) sha256:\(token.sha256.map { String(format: "%02x", $0) }.joined())"
    }

    private static func absolute(_ path: String) -> String { URL(fileURLWithPath: path).path }

    /// Names, and addresses as bytes.
    private static func split(_ hosts: [String]) -> (names: [String], addresses: [[UInt8]]) {
      var names: [String] = []
      var addresses: [[UInt8]] = []
      for host in hosts {
        var four = in_addr()
        var six = in6_addr()
        if inet_pton(AF_INET, host, &four) == 1 {
          addresses.append(withUnsafeBytes(of: four) { Array($0) })
        } else if inet_pton(AF_INET6, host, &six) == 1 {
          addresses.append(withUnsafeBytes(of: six) { Array($0) })
        } else {
          names.append(host)
        }
      }
      return (names, addresses)
    }
  }
}
