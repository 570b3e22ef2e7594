import FoundationEssentials
import SwiftASN1
import X509

/// A client's certificate, verified by TLS, with what is judged besides: its names, use and validity.
package struct PeerCertificate: Sendable {
  /// Subject alternative names.
  package let uris: [String]
  package let dnsNames: [String]
  /// In lower-case hex, without leading zeros.
  package let serial: String
  /// Unix ns.
  package let notBefore: UInt64
  package let notAfter: UInt64
  /// Whether it may be used by a client (extended key usage; a certificate without any may).
  package let isForClients: Bool

  /// - Throws: for what is no certificate.
  package init(der: [UInt8]) throws(AuthenticationFailure) {
    do {
      let certificate = try Certificate(derEncoded: der)
      var uris: [String] = []
      var dnsNames: [String] = []
      for name in try certificate.extensions.subjectAlternativeNames ?? SubjectAlternativeNames([]) {
        switch name {
        case .uniformResourceIdentifier(let uri): uris.append(uri)
        case .dnsName(let name): dnsNames.append(name)
        default: break
        }
      }
      self.uris = uris
      self.dnsNames = dnsNames
      let digits = certificate.serialNumber.bytes.map { byte in
        String(byte, radix: 16).count == 1 ? "0" + String(byte, radix: 16) : String(byte, radix: 16)
      }
      let hex = digits.joined().drop { $0 == "0" }
      serial = hex.isEmpty ? "0" : String(hex)
      func nanoseconds(_ seconds: Double) -> UInt64 { UInt64(max(0, min(seconds, 9e9))) * 1_000_000_000 }
      notBefore = nanoseconds(certificate.notValidBefore.timeIntervalSince1970)
      notAfter = nanoseconds(certificate.notValidAfter.timeIntervalSince1970)
      let usage = try certificate.extensions.extendedKeyUsage
      isForClients = usage.map { $0.contains(.clientAuth) || $0.contains(.any) } ?? true
    } catch {
      throw AuthenticationFailure(.malformedCertificate, "the client's certificate cannot be read: \(error)")
    }
  }
}
