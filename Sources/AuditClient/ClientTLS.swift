import Glibc
import NIOSSL

/// Whom a client trusts, and the certificate it shows. The files are in PEM form, and are read anew for each connection.
///
/// TLS 1.3 only. The server's certificate is always verified, and must name the host of the address.
public struct ClientTLS: Sendable, Equatable {
  /// The roots that sign servers' certificates; `nil`: the system's.
  public var trustRootsFile: String?
  /// The client's certificate, followed by intermediate ones; `nil`: none is shown.
  public var certificateFile: String?
  /// The private key of the certificate, without a passphrase.
  public var keyFile: String?

  /// - Parameters: see the properties of the same names.
  public init(trustRootsFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil) {
    self.trustRootsFile = trustRootsFile
    self.certificateFile = certificateFile
    self.keyFile = keyFile
  }

  /// The protocol's name in the handshake (ALPN, RFC 7301).
  static let applicationProtocol = "hubaudit/1"

  /// - Throws: `invalidConfiguration`.
  func check() throws(ClientError) {
    guard (certificateFile == nil) == (keyFile == nil) else {
      throw ClientError(
        .invalidConfiguration,
        certificateFile == nil
          ? "a private key without its certificate is of no use; give the certificate's file too"
          : "a certificate without its private key is of no use; give the key's file too")
    }
  }

  /// Reads the files. Blocks on the disk.
  ///
  /// - Throws: `credentialFile`, which names the file and what is wrong with it.
  func makeContext() throws(ClientError) -> NIOSSLContext {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.minimumTLSVersion = .tlsv13
    configuration.applicationProtocols = [Self.applicationProtocol]
    configuration.certificateVerification = .fullVerification
    if let trustRootsFile {
      configuration.trustRoots = .certificates(try Self.certificates(try CredentialFile.read(trustRootsFile), of: trustRootsFile))
    }
    if let certificateFile, let keyFile {
      let chain = try Self.certificates(try CredentialFile.read(certificateFile), of: certificateFile)
      let key: NIOSSLPrivateKey
      do { key = try NIOSSLPrivateKey(bytes: try CredentialFile.read(keyFile), format: .pem) } catch let error as ClientError {
        throw error
      } catch {
        throw ClientError(.credentialFile, "\(keyFile) holds no private key in PEM form without a passphrase")
      }
      configuration.certificateChain = chain.map { .certificate($0) }
      configuration.privateKey = .privateKey(key)
    }
    do { return try NIOSSLContext(configuration: configuration) } catch NIOSSLError.failedToLoadPrivateKey {
      throw ClientError(.credentialFile, "\(keyFile ?? "") is not the key of the certificate in \(certificateFile ?? "")")
    } catch {
      throw ClientError(.credentialFile, "the certificates of \(trustRootsFile ?? "the system") cannot be used: \(error)")
    }
  }

  private static func certificates(_ pem: [UInt8], of path: String) throws(ClientError) -> [NIOSSLCertificate] {
    guard let found = try? NIOSSLCertificate.fromPEMBytes(pem), !found.isEmpty else {
      throw ClientError(.credentialFile, "\(path) holds no certificate in PEM form")
    }
    return found
  }
}

/// Reads the files of certificates, keys and tokens.
enum CredentialFile {
  /// The system's bundle of roots has about 250 KiB.
  static let maximumBytes = 4 << 20

  /// - Throws: `credentialFile`.
  static func read(_ path: String, limit: Int = maximumBytes) throws(ClientError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(path, errno) }
    defer { close(descriptor) }
    var content: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = Glibc.read(descriptor, &piece, piece.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw failure(path, errno) }
      if count == 0 { return content }
      content += piece[..<count]
      guard content.count <= limit else {
        throw ClientError(.credentialFile, "\(path) has more than \(limit) bytes; is it the right file?")
      }
    }
  }

  private static func failure(_ path: String, _ code: CInt) -> ClientError {
    ClientError(.credentialFile, "\(path) cannot be read: \(ClientError.reason(errno: code))")
  }
}
