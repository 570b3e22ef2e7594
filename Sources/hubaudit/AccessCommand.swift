import AccessControl
import ArgumentParser
import Foundation
import HubauditSettings

/// `hubaudit access`: makes, checks and explains access files.
struct AccessCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "access", abstract: "Make, check and explain access files.",
    subcommands: [Init.self, Cert.self, Check.self, Explain.self])

  struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "check", abstract: "Say whether a server would take an access file.",
      discussion: "Exit 1, with the line, where it would not.")

    @Argument(help: "The access file.", completion: .file()) var file: String

    func run() async throws {
      let table = try await AccessCommand.load(file, .failure)
      print("\(file): \(table.names.count == 1 ? "1 identity" : "\(table.names.count) identities")")
    }
  }

  struct Explain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "explain", abstract: "Say whether an identity may do something, and which line decides.",
      discussion: """
        hubaudit access explain FILE bank publish bank-1        may it append as hub bank-1?
        hubaudit access explain FILE auditor read hr turn_failed
        hubaudit access explain FILE auditor prove              also: erase, operate

        Exit 0 where it may, 1 where it may not.
        """)

    @Argument(help: "The access file.", completion: .file()) var file: String
    @Argument(help: "The identity.") var identity: String
    @Argument(help: "publish HUB, read HUB [KIND], prove, erase or operate.") var request: [String]

    func run() async throws {
      let table = try await AccessCommand.load(file, .usage)
      guard let found = table.explain(identity, try question()) else {
        let known = Spelling.nearest(to: identity, among: table.names).map { "; did you mean \($0)?" } ?? ""
        throw CommandFailure(.usage, "\(file) names no identity \(identity)\(known)")
      }
      print(found.isAllowed ? "allowed" : "refused")
      for reason in found.reasons { print("  \(TerminalText.escaped(reason))") }
      if !found.isAllowed { throw CommandFailure(.failure) }
    }

    private func question() throws -> AccessTable.Question {
      switch (request.first, request.count) {
      case ("publish", 2): return .publish(hub: request[1])
      case ("read", 2): return .read(hub: request[1], kind: nil)
      case ("read", 3): return .read(hub: request[1], kind: request[2])
      case ("prove", 1), ("erase", 1), ("operate", 1): return .right(request[0])
      default:
        throw CommandFailure(
          .usage, "\"\(request.joined(separator: " "))\" is not one of: publish HUB, read HUB [KIND], prove, erase, operate")
      }
    }
  }

  struct Cert: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "cert", abstract: "Sign a certificate for one more client, with the root that `access init` made.",
      discussion: "Writes NAME.pem and NAME.key into the directory, and prints the line for the access file.")

    @Argument(help: "The directory of `access init`.", completion: .directory) var directory: String
    @Argument(help: "The identity, and the name of the files.") var name: String
    @Option(help: "The certificate's URI. Default: that of the other certificates, with this name.") var uri: String?
    @Option(parsing: .unconditional, help: "How long it is valid, in days; at most as long as the root.") var days = 90

    func run() throws {
      let paths = AccessDirectory(directory)
      let authority: CertificateAuthority
      do {
        authority = try CertificateAuthority(
          certificate: String(contentsOfFile: paths["ca.pem"], encoding: .utf8),
          key: String(contentsOfFile: paths["ca.key"], encoding: .utf8))
      } catch { throw CommandFailure(.failure, "\(paths["ca.pem"]), \(paths["ca.key"]): \(error)") }
      print(try paths.addClient(name, uri: uri ?? AccessDirectory.uri(name), authority, days: days))
    }
  }

  static func load(_ path: String, _ status: ExitStatus) async throws -> AccessTable {
    do { return try await AccessTable.load(path: path) } catch { throw CommandFailure(status, "\(error)") }
  }
}

/// The directory that `access init` makes.
struct AccessDirectory {
  let path: String

  init(_ path: String) { self.path = path }

  subscript(_ name: String) -> String { "\(path)/\(name)" }

  static func uri(_ name: String) -> String { "spiffe://hubaudit.internal/\(name)" }

  /// Makes a client's certificate and key.
  ///
  /// - Returns: the line for the access file.
  func addClient(_ name: String, uri: String, _ authority: CertificateAuthority, days: Int) throws -> String {
    guard (1...3650).contains(days) else { throw CommandFailure(.usage, "--days: \(days) is not between 1 and 3650") }
    let line = "identity \(name) cert \(uri)"
    do { _ = try AccessTable(line) } catch { throw CommandFailure(.usage, error.sentence) }
    let pair = try authority.issue(.client(uri: uri), name: name, days: days)
    try PrivateFile.make(self["\(name).key"], pair.key)
    try PrivateFile.make(self["\(name).pem"], pair.certificate, mode: 0o644)
    return line
  }
}
