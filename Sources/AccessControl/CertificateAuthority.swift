import Crypto
import FoundationEssentials
import SwiftASN1
import X509

/// A root that signs certificates of servers and clients: ECDSA over P-256 with SHA-256.
package struct CertificateAuthority: Sendable {
  /// A certificate and its private key, in PEM form.
  package struct Pair: Sendable {
    package let certificate: String
    package let key: String
  }

  package enum Use: Sendable {
    /// - Parameters:
    ///   - names: DNS names.
    ///   - addresses: IPv4 and IPv6 addresses, as bytes.
    case server(names: [String], addresses: [[UInt8]])
    case client(uri: String)
  }

  private let name: DistinguishedName
  private let key: P256.Signing.PrivateKey
  private let certificate: Certificate

  /// Clocks of other machines may be a little behind.
  private static let leeway: TimeInterval = 300

  /// Makes a root.
  package init(name: String, days: Int) throws {
    key = P256.Signing.PrivateKey()
    self.name = try DistinguishedName { CommonName(name) }
    let publicKey = Certificate.PublicKey(key.publicKey)
    certificate = try Certificate(
      version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey, notValidBefore: Date() - Self.leeway,
      notValidAfter: Date() + TimeInterval(days) * 86_400, issuer: self.name, subject: self.name, signatureAlgorithm: .ecdsaWithSHA256,
      extensions: Certificate.Extensions {
        Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
        Critical(KeyUsage(keyCertSign: true, cRLSign: true))
        SubjectKeyIdentifier(hash: publicKey)
      },
      issuerPrivateKey: Certificate.PrivateKey(key))
  }

  /// Takes a root that was made before.
  ///
  /// - Throws: for what is no certificate, or no key of it.
  package init(certificate: String, key: String) throws {
    self.key = try P256.Signing.PrivateKey(pemRepresentation: key)
    self.certificate = try Certificate(pemEncoded: certificate)
    name = self.certificate.subject
    guard self.certificate.publicKey == Certificate.PublicKey(self.key.publicKey) else { throw OtherKey() }
  }

  private struct OtherKey: Error, CustomStringConvertible {
    var description: String { "the key is not that of the certificate" }
  }

  package var pair: Pair {
    get throws { Pair(certificate: try certificate.serializeAsPEM().pemString + "\n", key: key.pemRepresentation + "\n") }
  }

  /// Signs a certificate with a new key.
  package func issue(_ use: Use, name: String, days: Int) throws -> Pair {
    let key = P256.Signing.PrivateKey()
    let publicKey = Certificate.PublicKey(key.publicKey)
    let alternatives: [GeneralName]
    let usage: ExtendedKeyUsage.Usage
    switch use {
    case .server(let names, let addresses):
      alternatives = names.map { .dnsName($0) } + addresses.map { .ipAddress(ASN1OctetString(contentBytes: $0[...])) }
      usage = .serverAuth
    case .client(let uri):
      alternatives = [.uniformResourceIdentifier(uri)]
      usage = .clientAuth
    }
    let issued = try Certificate(
      version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey, notValidBefore: Date() - Self.leeway,
      notValidAfter: min(Date() + TimeInterval(days) * 86_400, certificate.notValidAfter), issuer: self.name,
      subject: try DistinguishedName { CommonName(name) }, signatureAlgorithm: .ecdsaWithSHA256,
      extensions: Certificate.Extensions {
        Critical(BasicConstraints.notCertificateAuthority)
        Critical(KeyUsage(digitalSignature: true))
        try ExtendedKeyUsage([usage])
        SubjectAlternativeNames(alternatives)
        SubjectKeyIdentifier(hash: publicKey)
        AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: certificate.publicKey).keyIdentifier)
      },
      issuerPrivateKey: Certificate.PrivateKey(self.key))
    return Pair(certificate: try issued.serializeAsPEM().pemString + "\n", key: key.pemRepresentation + "\n")
  }
}
