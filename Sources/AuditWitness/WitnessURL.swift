import Foundation

/// The URL of a witness: `http://host[:port][/prefix]`, or with `https`.
package struct WitnessURL: Sendable, Hashable, CustomStringConvertible {
  /// Whether the connection is TLS.
  package let isSecure: Bool
  package let host: String
  package let port: Int
  /// Empty, or begins with a slash; does not end with one.
  package let prefix: String
  package let description: String

  /// - Throws: `.misconfigured`.
  package init(_ text: String) throws(WitnessError) {
    guard let url = URLComponents(string: text), let host = url.host, !host.isEmpty, url.query == nil, url.fragment == nil, url.user == nil
    else {
      throw WitnessError(.misconfigured, "\"\(text)\" is not the URL of a witness; write https://host:port/prefix, or with http")
    }
    switch url.scheme?.lowercased() {
    case "http": isSecure = false
    case "https": isSecure = true
    default: throw WitnessError(.misconfigured, "\"\(text)\": the URL of a witness begins with https:// or http://")
    }
    let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
    self.host = isBracketed ? String(host.dropFirst().dropLast()) : host
    port = url.port ?? (isSecure ? 443 : 80)
    guard (1...65535).contains(port) else { throw WitnessError(.misconfigured, "\"\(text)\": the port must be 1 to 65535") }
    var prefix = url.percentEncodedPath
    while prefix.hasSuffix("/") { prefix.removeLast() }
    self.prefix = prefix
    description = text
  }

  /// The value of the `Host` header.
  package var authority: String {
    let name = host.contains(":") ? "[\(host)]" : host
    return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
  }
}
