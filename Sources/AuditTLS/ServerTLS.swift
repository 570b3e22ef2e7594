import AuditSchema
import Glibc
import NIOSSL
import Synchronization

/// The PEM files of a TLS server.
public struct TLSFiles: Sendable, Equatable {
  /// The server's certificate, followed by intermediate ones.
  public var certificate: String
  /// Its private key. Nobody but its owner may read the file.
  public var key: String
  /// The roots that sign clients' certificates; `nil`: no client is asked for one.
  public var clientCA: String?
  /// Whether the group of `key` may read it.
  public var isKeyGroupReadable = false

  public init(certificate: String, key: String, clientCA: String? = nil) {
    self.certificate = certificate
    self.key = key
    self.clientCA = clientCA
  }
}

/// A file of TLS that cannot be used.
public struct TLSFileError: Error, Sendable, CustomStringConvertible {
  public let description: String
}

/// What a TLS server shows and whom it trusts, from files that may change while it runs. Connections keep the context they began with.
///
/// TLS 1.3 only. A client's certificate is optional, and is verified against `TLSFiles.clientCA` if it is shown. A resumed session skips that
/// verification, so its certificate must be judged again; a new context refuses the tickets of the one before.
public final class ServerTLS: Sendable {
  /// The protocol that clients of the frame port must offer and get (RFC 7301).
  public static let frameProtocol = "hubaudit/1"
  public static let httpProtocol = "http/1.1"

  /// What a reload has found.
  public struct Change: Sendable, Equatable {
    public var isCertificateNew = false
    public var isClientCANew = false
    /// Whether a root that signed clients' certificates is trusted no more.
    public var isRootRemoved = false

    public init() {}

    public var isNone: Bool { self == Change() }
  }

  private struct State {
    var frames: NIOSSLContext
    var http: NIOSSLContext
    /// SHA-256 of the certificate's and the key's file.
    var identity: [[UInt8]]
    /// SHA-256 of each root.
    var roots: Set<[UInt8]>
    var rootRemovals = 0
    var expiresAt: UInt64
  }

  public let files: TLSFiles
  private let state: Mutex<State>

  /// - Throws: `TLSFileError`, which names the file and what is wrong with it.
  public init(_ files: TLSFiles) throws(TLSFileError) {
    self.files = files
    state = Mutex(try Self.load(files))
  }

  /// For the frame port.
  public var frameContext: NIOSSLContext { state.withLock { $0.frames } }
  public var httpContext: NIOSSLContext { state.withLock { $0.http } }
  /// How often a root was removed. A certificate that was verified before the last time may be one that would be refused now.
  public var rootRemovals: Int { state.withLock { $0.rootRemovals } }
  /// When the server's certificate expires, in Unix ns.
  public var expiresAt: UInt64 { state.withLock { $0.expiresAt } }

  /// Reads the files again. New connections get what they say. Blocks on the disk.
  ///
  /// - Throws: for files that cannot be used; then everything stays as it was.
  public func reload() throws(TLSFileError) -> Change {
    let new = try Self.load(files)
    return state.withLock { state in
      var change = Change()
      change.isCertificateNew = new.identity != state.identity
      change.isClientCANew = new.roots != state.roots
      change.isRootRemoved = !state.roots.isSubset(of: new.roots)
      // Files that are the same keep their context, and the tickets of clients with it.
      guard !change.isNone else { return change }
      let rootRemovals = state.rootRemovals + (change.isRootRemoved ? 1 : 0)
      state = new
      state.rootRemovals = rootRemovals
      return change
    }
  }

  private static func load(_ files: TLSFiles) throws(TLSFileError) -> State {
    let certificateBytes = try read(files.certificate)
    let keyBytes = try readKey(files)
    let chain = try certificates(certificateBytes, of: files.certificate)
    let key: NIOSSLPrivateKey
    do { key = try NIOSSLPrivateKey(bytes: keyBytes, format: .pem) } catch {
      throw TLSFileError(description: "\(files.key): it holds no private key in PEM form without a passphrase (\(error))")
    }
    let roots = try files.clientCA.map { (path) throws(TLSFileError) in try certificates(try read(path), of: path) } ?? []
    func context(_ name: String) throws(TLSFileError) -> NIOSSLContext {
      var configuration = TLSConfiguration.makeServerConfiguration(
        certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
      configuration.minimumTLSVersion = .tlsv13
      configuration.applicationProtocols = [name]
      configuration.certificateVerification = roots.isEmpty ? .none : .optionalVerification
      configuration.trustRoots = .certificates(roots)
      do { return try NIOSSLContext(configuration: configuration) } catch {
        throw TLSFileError(
          description: "\(files.certificate) and \(files.key) cannot be used together: is the key that of the certificate? (\(error))")
      }
    }
    return State(
      frames: try context(frameProtocol), http: try context(httpProtocol),
      identity: [SHA256.hash(certificateBytes), SHA256.hash(keyBytes)],
      roots: Set(roots.compactMap { try? $0.toDERBytes() }.map { SHA256.hash($0) }),
      expiresAt: UInt64(max(0, Int64(chain[0].notValidAfter))) * 1_000_000_000)
  }

  private static func certificates(_ pem: [UInt8], of path: String) throws(TLSFileError) -> [NIOSSLCertificate] {
    let found: [NIOSSLCertificate]
    do { found = try NIOSSLCertificate.fromPEMBytes(pem) } catch {
      throw TLSFileError(description: "\(path): it holds no certificate in PEM form (\(error))")
    }
    guard !found.isEmpty else { throw TLSFileError(description: "\(path): it holds no certificate in PEM form") }
    return found
  }

  /// Maximum bytes of a file.
  private static let maximumBytes = 4 << 20

  private static func readKey(_ files: TLSFiles) throws(TLSFileError) -> [UInt8] {
    var found = stat()
    guard stat(files.key, &found) == 0 else { throw TLSFileError(description: "\(files.key): \(String(cString: strerror(errno)))") }
    let foreign: mode_t = files.isKeyGroupReadable ? 0o037 : 0o077
    guard found.st_mode & foreign == 0 else {
      throw TLSFileError(
        description:
          "\(files.key) holds a private key, and others than its owner may use it (mode \(String(found.st_mode & 0o777, radix: 8))); "
          + "chmod 600 \(files.key)")
    }
    return try read(files.key)
  }

  private static func read(_ path: String) throws(TLSFileError) -> [UInt8] {
    guard let file = fopen(path, "rbe") else { throw TLSFileError(description: "\(path): \(String(cString: strerror(errno)))") }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 64 << 10)
    var content: [UInt8] = []
    while true {
      let count = fread(&bytes, 1, bytes.count, file)
      content += bytes[..<count]
      guard content.count <= maximumBytes else {
        throw TLSFileError(description: "\(path) has more than \(maximumBytes) bytes, which no certificate or key needs")
      }
      if count < bytes.count { break }
    }
    guard ferror(file) == 0 else { throw TLSFileError(description: "\(path): it cannot be read") }
    return content
  }
}
