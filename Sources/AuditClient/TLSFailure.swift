import AuditSchema
import NIOCore
import NIOSSL

/// What a TLS error means, as a sentence that says what to do.
///
/// NIOSSL keeps the codes of its errors to itself, so the reasons are found in BoringSSL's text, such as "TLSV1_ALERT_UNKNOWN_CA".
struct TLSFailure {
  private let address: ServerAddress

  init(_ address: ServerAddress) { self.address = address }

  /// - Parameters:
  ///   - host: that was asked for.
  ///   - certificate: of the server, if it has come.
  func ofHandshake(_ error: any Error, host: String, certificate: NIOSSLCertificate?) -> ClientError {
    if let error = error as? ClientError { return error }
    if let error = error as? NIOSSLExtraError, error == .failedToValidateHostname || error == .serverHostnameImpossibleToMatch {
      return otherName(host)
    }
    if let error = error as? IOError { return lost(ClientError.reason(errno: error.errnoCode)) }
    let text = "\(error)"
    if text.contains("CERTIFICATE_VERIFY_FAILED") { return untrusted(certificate) }
    if text.contains("NO_APPLICATION_PROTOCOL") {
      return failed("does not speak \"\(ClientTLS.applicationProtocol)\"; is it the frame port of a hubaudit server?")
    }
    if text.contains("WRONG_VERSION_NUMBER") || text.contains("HTTP_REQUEST") || text.contains("UNEXPECTED_MESSAGE")
      || text.contains("BAD_HELLO")
    {
      return failed("does not speak TLS; for a connection without TLS write the address without hubaudits://")
    }
    if text.contains("PROTOCOL_VERSION") || text.contains("UNSUPPORTED_PROTOCOL") {
      return failed("does not speak TLS 1.3, and older versions are not accepted")
    }
    if text.contains("EOF during handshake") { return endedEarly }
    return refusal(text, isShown: false) ?? failed("failed the TLS handshake: \(Self.name(of: text))")
  }

  /// In TLS 1.3 the client's handshake ends before the server has judged the client's certificate: its refusal comes with the first read.
  func afterHandshake(_ error: any Error, hasHeard: Bool, showsCertificate: Bool) -> ClientError {
    if let error = error as? ClientError { return error }
    if let refusal = refusal("\(error)", isShown: showsCertificate) { return refusal }
    let reason =
      switch error {
      case let error as IOError: ClientError.reason(errno: error.errnoCode)
      case NIOSSLError.uncleanShutdown: "the server closed it"
      default: Self.name(of: "\(error)")
      }
    guard !hasHeard else { return lost(reason) }
    // The server's alert may be lost when it resets the connection.
    return ClientError(
      .connectionLost,
      "the connection to \(address) was lost before the server's first answer: \(reason) (a server that does not accept the client's "
        + "certificate may do so; its log says why)")
  }

  var endedEarly: ClientError {
    ClientError(.tlsFailed, "\(address) closed the connection during the TLS handshake; does it speak TLS 1.3?")
  }

  func otherName(_ host: String) -> ClientError {
    failed("showed a certificate that does not name \"\(host)\"; connect with a name of the certificate, or issue one that names the host")
  }

  /// - Parameter certificate: of the server, if it is known.
  private func untrusted(_ certificate: NIOSSLCertificate?) -> ClientError {
    let now = Int64(UTCTime.now() / 1_000_000_000)
    if let certificate {
      let (begin, end) = (Int64(certificate.notValidBefore), Int64(certificate.notValidAfter))
      if end < now { return failed("showed a certificate that expired at \(Self.time(end)); the server needs a new one") }
      if begin > now {
        return failed("showed a certificate that is valid only from \(Self.time(begin)) on; are the clocks right?")
      }
    }
    return failed("showed a certificate that no trusted root has signed; give the CA's certificate (--cacert, trustRootsFile)")
  }

  /// What the server's alert says of the client's certificate.
  private func refusal(_ text: String, isShown: Bool) -> ClientError? {
    if text.contains("ALERT_CERTIFICATE_REQUIRED") {
      return failed("asks for a client certificate; give one with its key (--cert and --key, certificateFile and keyFile)")
    }
    let causes = [
      ("ALERT_UNKNOWN_CA", "it does not trust the CA that signed it"), ("ALERT_CERTIFICATE_EXPIRED", "it has expired or is not valid yet"),
      ("ALERT_CERTIFICATE_REVOKED", "it was revoked"), ("ALERT_CERTIFICATE_UNKNOWN", "the server's log says why"),
      ("ALERT_BAD_CERTIFICATE", "the server's log says why"),
      ("ALERT_UNSUPPORTED_CERTIFICATE", "it is not for clients, or of a kind it lacks"),
      ("ALERT_ACCESS_DENIED", "its identity may not connect"), ("ALERT_DECRYPT_ERROR", "its signature does not fit"),
    ]
    guard let cause = causes.first(where: { text.contains($0.0) })?.1 else { return nil }
    return failed("refused the client's certificate\(isShown ? "" : " or its absence"): \(cause)")
  }

  private func failed(_ what: String) -> ClientError { ClientError(.tlsFailed, "\(address) \(what)") }

  private func lost(_ reason: String) -> ClientError {
    ClientError(.connectionLost, "the connection to \(address) was lost: \(reason)")
  }

  private static func time(_ seconds: Int64) -> String {
    String(UTCTime.iso8601Microseconds(UInt64(max(0, seconds)) * 1_000_000_000).prefix(19)) + "Z"
  }

  /// BoringSSL's name for the error, such as BAD_DECRYPT; the whole text if it is another one.
  private static func name(of text: String) -> String {
    guard let library = text.firstRange(of: "OPENSSL_internal:") else { return String(text.prefix(200)) }
    return String(text[library.upperBound...].prefix { $0 == "_" || $0.isASCII && ($0.isUppercase || $0.isNumber) })
  }
}
