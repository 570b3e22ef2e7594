import ArgumentParser
import AuditClient

/// Whom the command trusts and what it shows.
struct CredentialOptions: ParsableArguments {
  @Option(
    help: "Certificates of the CAs that sign servers, in PEM form; default: the system's (or HUBAUDIT_CACERT).", completion: .file())
  var cacert: String?
  @Option(help: "The certificate to show, in PEM form, with its private key (or HUBAUDIT_CERT).", completion: .file())
  var cert: String?
  @Option(
    help: "A file that holds a token; read again before the token expires (or HUBAUDIT_TOKEN_FILE, or the token itself in HUBAUDIT_TOKEN).",
    completion: .file())
  var tokenFile: String?

  static let variables = ["HUBAUDIT_CACERT", "HUBAUDIT_CERT", "HUBAUDIT_KEY", "HUBAUDIT_TOKEN_FILE", "HUBAUDIT_TOKEN"]

  /// The name of an option that is on the command line.
  var firstGiven: String? {
    [("--cacert", cacert), ("--cert", cert), ("--token-file", tokenFile)].first { $0.1 != nil }?.0
  }

  /// - Parameter key: file of the certificate's private key.
  /// - Throws: `CommandFailure` with usage status for what contradicts each other.
  func fill(_ configuration: inout ClientConfiguration, key: String?, _ environment: [String: String]) throws {
    func value(_ given: String?, _ variable: String) -> String? {
      given ?? environment[variable].flatMap { $0.isEmpty ? nil : $0 }
    }
    let tls = ClientTLS(
      trustRootsFile: value(cacert, "HUBAUDIT_CACERT"), certificateFile: value(cert, "HUBAUDIT_CERT"), keyFile: value(key, "HUBAUDIT_KEY"))
    guard (tls.certificateFile == nil) == (tls.keyFile == nil) else {
      throw CommandFailure(
        .usage,
        tls.keyFile == nil
          ? "a certificate is of no use without its private key; give --key (--cert-key) or HUBAUDIT_KEY too"
          : "a private key is of no use without its certificate; give --cert or HUBAUDIT_CERT too")
    }
    if tls != ClientTLS() { configuration.tls = tls }
    let file = value(tokenFile, "HUBAUDIT_TOKEN_FILE")
    let token = value(nil, "HUBAUDIT_TOKEN")
    if let file {
      // A flag comes before a variable; two variables contradict each other.
      guard tokenFile != nil || token == nil else {
        throw CommandFailure(.usage, "HUBAUDIT_TOKEN and HUBAUDIT_TOKEN_FILE are both set; set one of them")
      }
      configuration.token = .file(file)
    } else if let token {
      configuration.token = .text(token)
    }
  }

  static func areGiven(_ configuration: ClientConfiguration) -> Bool {
    configuration.token != nil || configuration.tls?.certificateFile != nil
  }
}
