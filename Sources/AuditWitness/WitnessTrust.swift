import NIOCore
import NIOSSL

/// Whom a log trusts to be its witness' host, for `https` URLs. What is sent is public and signed; TLS keeps others from blocking or delaying
/// some of it unseen.
struct WitnessTrust: Sendable {
  private let context: NIOSSLContext

  /// - Parameter rootsFile: PEM file of the roots that sign witnesses' certificates; `nil`: the system's.
  /// - Throws: `.misconfigured`.
  init(rootsFile: String?) throws(WitnessError) {
    var configuration = TLSConfiguration.makeClientConfiguration()
    // Proxies in front of witnesses may be older than TLS 1.3.
    configuration.minimumTLSVersion = .tlsv12
    configuration.applicationProtocols = ["http/1.1"]
    configuration.certificateVerification = .fullVerification
    // A stop of the server waits so long at most for the farewell of a witness that does not answer.
    configuration.shutdownTimeout = .milliseconds(500)
    if let rootsFile {
      guard let roots = try? NIOSSLCertificate.fromPEMFile(rootsFile), !roots.isEmpty else {
        throw WitnessError(.misconfigured, "\(rootsFile) cannot be read, or holds no certificate in PEM form (--witness-cacert)")
      }
      configuration.trustRoots = .certificates(roots)
    }
    do { context = try NIOSSLContext(configuration: configuration) } catch {
      throw WitnessError(.misconfigured, "the roots that witnesses' certificates are verified with cannot be used: \(error)")
    }
  }

  /// The handler of a connection to a host: the certificate must be valid and name it.
  func handler(host: String) throws -> NIOSSLClientHandler {
    // TLS has no server name for an IP address; the certificate must have the address then.
    let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
    return try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
  }
}
