import AuditSchema
import Glibc

/// A token that says who the client is: one of the server's access file ("hat_…"), or a JWT.
///
/// A token from a file or a function is asked for anew for each connection, and before the connection's token expires. The new token is
/// shown on the connection, which goes on; it must be the same identity's.
public struct ClientToken: Sendable {
  private enum Source: Sendable {
    case text(String)
    case file(String)
    case function(@Sendable () async throws -> String)
  }

  private let source: Source

  /// A token that stays the same.
  public static func text(_ token: String) -> ClientToken { ClientToken(source: .text(token)) }

  /// A file that holds the token alone; white space around it is ignored. Exchange it with rename(2), so that nobody reads half of it.
  public static func file(_ path: String) -> ClientToken { ClientToken(source: .file(path)) }

  /// A function that returns a token that is valid now.
  public static func provided(by function: @escaping @Sendable () async throws -> String) -> ClientToken {
    ClientToken(source: .function(function))
  }

  /// Whether the token may be another one the next time.
  var isRenewable: Bool {
    if case .text = source { false } else { true }
  }

  /// The token as of now.
  ///
  /// - Throws: `credentialFile`. No message holds the token.
  func value() async throws(ClientError) -> String {
    let text: String
    let name: String
    switch source {
    case .text(let token): (text, name) = (token, "the token")
    case .file(let path):
      (text, name) = (String(decoding: try CredentialFile.read(path, limit: Hello.maximumTokenBytes + 1024), as: UTF8.self), path)
    case .function(let function):
      do { (text, name) = (try await function(), "the token that was provided") } catch {
        throw ClientError(.credentialFile, "no token was provided: \(error)")
      }
    }
    let token = text.utf8.drop(while: Self.isSpace).reversed().drop(while: Self.isSpace).reversed()
    guard !token.isEmpty else { throw ClientError(.credentialFile, "\(name) holds no token; it is empty") }
    guard token.count <= Hello.maximumTokenBytes else {
      throw ClientError(.credentialFile, "\(name) has \(token.count) bytes; the limit for a token is \(Hello.maximumTokenBytes)")
    }
    guard token.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw ClientError(.credentialFile, "\(name) is not one token: it has spaces, line ends or characters outside of ASCII within")
    }
    return String(decoding: token, as: UTF8.self)
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
}

extension ClientConfiguration {
  /// Checks what can be checked before connecting.
  ///
  /// - Throws: `invalidConfiguration`.
  func check() throws(ClientError) {
    try tls?.check()
    if case .tls = address { return }
    guard tls == nil else {
      let advice =
        switch address {
        case .tcp: "write hubaudits://\(address) for TLS, or leave the TLS files out"
        default: "leave the TLS files out"
        }
      throw ClientError(.invalidConfiguration, "TLS files are given, but \(address) is an address without TLS; \(advice)")
    }
    guard token == nil || address.isLocal else {
      throw ClientError(
        .invalidConfiguration,
        "a token is sent only over TLS, a Unix socket or loopback: anybody on the way to \(address) could read it; "
          + "write hubaudits://\(address)")
    }
  }
}

extension ServerAddress {
  /// Whether what is sent does not leave this machine: a Unix socket, or a loopback address. A name other than localhost may resolve to
  /// any address.
  var isLocal: Bool {
    switch self {
    case .unix: return true
    case .tls: return false
    case .tcp(let host, _):
      if host.lowercased() == "localhost" { return true }
      guard let bytes = Self.ipAddress(host) else { return false }
      if bytes.count == 4 { return bytes[0] == 127 }
      let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
      return isMapped ? bytes[12] == 127 : bytes[..<15].allSatisfy { $0 == 0 } && bytes[15] == 1
    }
  }

  /// The 4 or 16 bytes of an IP address in text form; `nil` for a name.
  static func ipAddress(_ host: String) -> [UInt8]? {
    var v4 = in_addr()
    if inet_pton(AF_INET, host, &v4) == 1 { return withUnsafeBytes(of: &v4) { Array($0) } }
    var v6 = in6_addr()
    return inet_pton(AF_INET6, host, &v6) == 1 ? withUnsafeBytes(of: &v6) { Array($0) } : nil
  }
}
