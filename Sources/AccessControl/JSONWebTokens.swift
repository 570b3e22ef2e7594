import AuditSchema
import FoundationEssentials
import JWTKit

/// Judges JWTs (RFC 7519) of one issuer by the keys of its JWKS file (RFC 7517). RS256, ES256 and EdDSA only.
///
/// Each key is in a collection of its own: the library would try another key for an unknown `kid`, and would take the algorithm of a key that
/// names none from the token.
struct JSONWebTokens: Sendable {
  /// Clocks of issuers may differ by that much, in ns.
  static let skew: UInt64 = 60_000_000_000
  static let maximumKeys = 100

  private struct Key: Sendable {
    let algorithm: String
    let keys: JWTKeyCollection
    /// SHA-256 of issuer, audience and key.
    let digest: [UInt8]
  }

  /// What a valid token says.
  struct Claims: Sendable {
    let subject: String
    let keyID: String
    /// Unix ns, with the skew.
    let expiresAt: UInt64
    /// Identifies the key, the issuer and the audience that it was verified with.
    let verifiedBy: [UInt8]
  }

  private struct KeySet: Decodable {
    let keys: [Unread]

    /// A key as it is: one that is not understood spoils no other.
    struct Unread: Decodable {
      let key: JWK?

      init(from decoder: any Decoder) throws { key = try? JWK(from: decoder) }
    }
  }

  private struct Payload: JWTPayload {
    enum Audience: Codable, Sendable {
      case one(String)
      case several([String])

      init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let one = try? container.decode(String.self) { self = .one(one) } else { self = .several(try container.decode([String].self)) }
      }

      func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .one(let one): try container.encode(one)
        case .several(let several): try container.encode(several)
        }
      }

      func names(_ audience: String) -> Bool {
        switch self {
        case .one(let one): one == audience
        case .several(let several): several.contains(audience)
        }
      }
    }

    var iss: String?
    var aud: Audience?
    var sub: String?
    var exp: Double?
    var nbf: Double?

    /// Claims are judged by `verify(_:now:)`, which says what is wrong.
    func verify(using algorithm: some JWTAlgorithm) async throws {}
  }

  private struct Header: Decodable {
    var alg: String?
    var kid: String?
  }

  private let issuer: String
  private let audience: String
  private var keys: [String: Key] = [:]

  /// - Parameters:
  ///   - jwks: the content of the file.
  ///   - fail: makes the error for a file that cannot be used.
  init(jwks: [UInt8], issuer: String, audience: String, fail: (String) -> AccessFileError) async throws(AccessFileError) {
    self.issuer = issuer
    self.audience = audience
    let set: KeySet
    do { set = try JSONDecoder().decode(KeySet.self, from: Data(jwks)) } catch { throw fail("it is no JWK set: {\"keys\": [...]}") }
    guard set.keys.count <= Self.maximumKeys else { throw fail("it has more than \(Self.maximumKeys) keys") }
    for case var key? in set.keys.map(\.key) {
      // A set may hold keys for other uses; those are passed over.
      guard let id = key.keyIdentifier?.string, let algorithm = Self.algorithm(of: key) else { continue }
      guard key.algorithm == nil || key.algorithm == algorithm else { continue }
      guard keys[id] == nil else { throw fail("two keys have the kid \"\(id)\"") }
      key.algorithm = algorithm
      let collection = JWTKeyCollection()
      do { try await collection.add(jwk: key) } catch { throw fail("key \"\(id)\" cannot be used: \(error)") }
      let material = [issuer, audience, key.modulus, key.exponent, key.x, key.y].map { $0 ?? "" }.joined(separator: "\n")
      keys[id] = Key(algorithm: algorithm.rawValue, keys: collection, digest: SHA256.hash(Array(material.utf8)))
    }
    guard !keys.isEmpty else { throw fail("it has no key with a kid for RS256, ES256 or EdDSA") }
  }

  private static func algorithm(of key: JWK) -> JWK.Algorithm? {
    switch key.keyType {
    case .rsa: .rs256
    case .ecdsa: key.curve?.rawValue == "P-256" ? .es256 : nil
    case .octetKeyPair: key.curve?.rawValue == "Ed25519" ? .eddsa : nil
    default: nil
    }
  }

  /// Whether a token that was verified earlier would be verified by the same key now.
  func isInForce(keyID: String, verifiedBy digest: [UInt8]) -> Bool { keys[keyID]?.digest == digest }

  /// The issuer that a token names, before anything about it is believed.
  static func claimedIssuer(_ token: String) -> String? {
    let parts = token.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, let payload = decoded(parts[1]) else { return nil }
    return (try? JSONDecoder().decode(Payload.self, from: payload))?.iss
  }

  /// - Parameter now: Unix ns.
  func verify(_ token: String, now: UInt64) async throws(AuthenticationFailure) -> Claims {
    let parts = token.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, let bytes = Self.decoded(parts[0]), let header = try? JSONDecoder().decode(Header.self, from: bytes) else {
      throw AuthenticationFailure(.malformedToken, "the token is not of the form of a JWT")
    }
    guard let id = header.kid, let key = keys[id] else {
      throw AuthenticationFailure(.unknownKey, "the JWT names a key (kid) that is not in the issuer's file")
    }
    guard header.alg == key.algorithm else {
      throw AuthenticationFailure(.wrongAlgorithm, "the JWT's algorithm is not that of its key, \(key.algorithm)")
    }
    let payload: Payload
    do { payload = try await key.keys.verify(token, as: Payload.self) } catch {
      throw AuthenticationFailure(.badSignature, "the JWT was not signed by the key that it names, or is not readable")
    }
    guard payload.iss == issuer else { throw AuthenticationFailure(.wrongIssuer, "the JWT is of another issuer") }
    guard payload.aud?.names(audience) == true else { throw AuthenticationFailure(.wrongAudience, "the JWT is for another audience") }
    guard let subject = payload.sub, let expires = payload.exp.flatMap(Self.nanoseconds) else {
      throw AuthenticationFailure(.malformedToken, "the JWT has no subject (sub) or no time at which it expires (exp)")
    }
    guard now < expires + Self.skew else { throw AuthenticationFailure(.expired, "the JWT expired at \(UTCTime.rfc3339(expires))") }
    if let begins = payload.nbf.flatMap(Self.nanoseconds), now + Self.skew < begins {
      throw AuthenticationFailure(.notYetValid, "the JWT is valid from \(UTCTime.rfc3339(begins)) on")
    }
    return Claims(subject: subject, keyID: id, expiresAt: expires + Self.skew, verifiedBy: key.digest)
  }

  private static func nanoseconds(_ seconds: Double) -> UInt64? {
    (0..<9e9).contains(seconds) ? UInt64(seconds * 1000) * 1_000_000 : nil
  }

  private static func decoded(_ part: Substring) -> Data? {
    var text = part.replacing("-", with: "+").replacing("_", with: "/")
    text += String(repeating: "=", count: (4 - text.count % 4) % 4)
    return Data(base64Encoded: String(text))
  }
}
