import CAuditDigest

/// SHA-256 (FIPS 180-4).
package enum SHA256 {
  /// The 32 bytes of the digest.
  package static func hash(_ bytes: [UInt8]) -> [UInt8] {
    var hash = [UInt8](repeating: 0, count: 32)
    bytes.withUnsafeBytes { caudit_sha256($0.baseAddress, $0.count, &hash) }
    return hash
  }
}
