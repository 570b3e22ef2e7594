import AuditSchema
import FoundationEssentials
import Glibc
import MerkleTree

/// An access file as it is written: one statement a line, words apart by spaces, `#` begins a comment.
///
///     identity bank  cert spiffe://prod.example/hub/bank
///     identity ci    token 7f3a sha256:0123... until 2027-01-01
///     identity ops   unix 1000
///     grant bank     publish hubs=bank,bank-*
///     grant auditor  read hubs=* kinds=*  prove
///     deny auditor   read hubs=hr-*
///     quota bank     connections=50 bytes=20MB/s
///     revoke serial 0a1b2c
///
/// A word that is not understood is an error, never passed over.
struct AccessFile {
  enum Credential {
    /// A URI of a certificate's subject alternative names.
    case uri(String)
    /// A DNS name of a certificate that has no URI.
    case dns(String)
    /// `until`: Unix ns; `nil`: for ever.
    case token(id: String, sha256: [UInt8], until: UInt64?)
    case jwt(issuer: String, subject: String)
    case unix(uid: UInt32)
  }

  struct Person {
    var credentials: [Credential] = []
    var rights = IdentityRights()
    var allowRead: [ReadRights.Rule] = []
    var denyRead: [ReadRights.Rule] = []
    /// The line that names it first.
    let line: Int
  }

  /// Whose JWTs are believed.
  struct Issuer {
    let jwks: String
    let iss: String
    let aud: String
    let line: Int
  }

  private(set) var people: [String: Person] = [:]
  private(set) var issuers: [String: Issuer] = [:]
  private(set) var revokedSerials: Set<String> = []
  private(set) var revokedURIs: Set<String> = []
  private(set) var trustDomains: Set<String> = []
  /// The lines of grants, denials and credentials, for `explain`.
  private(set) var statements: [(line: Int, words: [String])] = []

  private let path: String
  private var line = 0

  static let maximumBytes = 4 << 20
  static let maximumIdentities = 10_000

  init(_ text: String, path: String) throws(AccessFileError) {
    self.path = path
    var later: [(Int, [String])] = []
    for (index, content) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      line = index + 1
      let words = content.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace).map(String.init)
      guard let first = words.first else { continue }
      statements.append((line, words))
      switch first {
      case "identity": try addIdentity(words)
      case "issuer": try addIssuer(words)
      case "revoke": try addRevocation(words)
      case "trust-domain":
        guard words.count == 2 else { throw wrong("trust-domain names one domain") }
        trustDomains.insert(words[1])
      // These name identities, which may stand further below.
      case "grant", "deny", "quota": later.append((line, words))
      default:
        throw wrong("\"\(first)\" is no statement; there are identity, issuer, grant, deny, quota, revoke and trust-domain")
      }
    }
    for (line, words) in later {
      self.line = line
      guard words.count > 2 else { throw wrong("\(words[0]) needs an identity and what it is about") }
      guard people[words[1]] != nil else { throw wrong("there is no identity \(words[1]) in this file") }
      switch words[0] {
      case "grant", "deny": try addRights(words)
      default: try addQuota(words)
      }
    }
    for (name, person) in people {
      guard !person.allowRead.isEmpty else { continue }
      people[name]!.rights.read = ReadRights(allow: person.allowRead, deny: person.denyRead)
    }
  }

  private func wrong(_ sentence: String) -> AccessFileError { AccessFileError(path, line: line, sentence) }

  // MARK: - Statements

  private mutating func addIdentity(_ words: [String]) throws(AccessFileError) {
    guard words.count >= 4 else { throw wrong("an identity needs a name and a credential: identity NAME cert|token|jwt|unix ...") }
    let name = words[1]
    guard Self.isName(name) else { throw wrong("\"\(name)\" is no name: letters, digits, \".\", \"-\" and \"_\", at most 64 bytes") }
    guard people[name] != nil || people.count < Self.maximumIdentities else {
      throw wrong("there are more than \(Self.maximumIdentities) identities")
    }
    let credential = try credential(Array(words.dropFirst(2)))
    people[name, default: Person(line: line)].credentials.append(credential)
  }

  private func credential(_ words: [String]) throws(AccessFileError) -> Credential {
    func count(_ allowed: ClosedRange<Int>, _ form: String) throws(AccessFileError) {
      guard allowed.contains(words.count) else { throw wrong("the credential is not of the form \"\(form)\"") }
    }
    switch words[0] {
    case "cert":
      try count(2...2, "cert URI, or cert dns:NAME")
      if words[1].hasPrefix("dns:") { return .dns(String(words[1].dropFirst(4)).lowercased()) }
      guard words[1].contains(":"), "cert:\(words[1])".utf8.count <= Identity.maximumPrincipalBytes else {
        throw wrong("\"\(words[1])\" is no URI of at most \(Identity.maximumPrincipalBytes - 5) bytes; a DNS name is written dns:NAME")
      }
      return .uri(words[1])
    case "token":
      guard words.count == 3 || words.count == 5 && words[3] == "until" else {
        throw wrong("the credential is not of the form \"token ID sha256:HEX [until DATE]\"")
      }
      guard AccessToken.isID(words[1]) else { throw wrong("\"\(words[1])\" is no token's id: 1 to 32 letters a-z and digits") }
      guard words[2].hasPrefix("sha256:"), let digest = Hex.decode(words[2].dropFirst(7).utf8), digest.count == 32 else {
        throw wrong("\"\(words[2])\" is not sha256: and 64 hex digits")
      }
      return .token(id: words[1], sha256: digest, until: words.count == 5 ? try time(words[4]) : nil)
    case "jwt":
      try count(3...3, "jwt ISSUER SUBJECT")
      guard "jwt:\(words[1]):\(words[2])".utf8.count <= Identity.maximumPrincipalBytes else {
        throw wrong("issuer and subject have more than \(Identity.maximumPrincipalBytes - 5) bytes together")
      }
      return .jwt(issuer: words[1], subject: words[2])
    case "unix":
      try count(2...2, "unix UID, or unix USER")
      if let uid = UInt32(words[1]) { return .unix(uid: uid) }
      guard let user = getpwnam(words[1]) else { throw wrong("this machine has no user \(words[1])") }
      return .unix(uid: user.pointee.pw_uid)
    default: throw wrong("\"\(words[0])\" is no credential; there are cert, token, jwt and unix")
    }
  }

  private mutating func addIssuer(_ words: [String]) throws(AccessFileError) {
    guard words.count >= 2, Self.isName(words[1]) else { throw wrong("an issuer needs a name: issuer NAME jwks=FILE iss=... aud=...") }
    guard issuers[words[1]] == nil else { throw wrong("issuer \(words[1]) stands in line \(issuers[words[1]]!.line) already") }
    let given = try pairs(Array(words.dropFirst(2)), allowed: ["jwks", "iss", "aud"])
    guard let jwks = given["jwks"], let iss = given["iss"], let aud = given["aud"] else {
      throw wrong("an issuer needs all of jwks=FILE, iss=... and aud=...")
    }
    issuers[words[1]] = Issuer(jwks: jwks, iss: iss, aud: aud, line: line)
  }

  private mutating func addRevocation(_ words: [String]) throws(AccessFileError) {
    guard words.count == 3 else { throw wrong("a revocation is of the form \"revoke serial HEX\" or \"revoke uri URI\"") }
    switch words[1] {
    case "serial":
      let digits = words[2].lowercased().replacing(":", with: "")
      guard !digits.isEmpty, digits.allSatisfy(\.isHexDigit) else { throw wrong("\"\(words[2])\" is no serial number in hex digits") }
      let significant = digits.drop { $0 == "0" }
      revokedSerials.insert(significant.isEmpty ? "0" : String(significant))
    case "uri": revokedURIs.insert(words[2])
    default: throw wrong("\"\(words[1])\" cannot be revoked; there are serial and uri")
    }
  }

  private mutating func addRights(_ words: [String]) throws(AccessFileError) {
    let isGrant = words[0] == "grant"
    var index = 2
    while index < words.count {
      let right = words[index]
      index += 1
      var parameters: [String] = []
      while index < words.count, words[index].contains("=") {
        parameters.append(words[index])
        index += 1
      }
      switch right {
      case "publish":
        let given = try pairs(parameters, allowed: ["hubs"])
        let hubs = try patterns(given["hubs"], of: "publish needs hubs=NAME,...")
        if isGrant { people[words[1]]!.rights.publish += hubs } else { people[words[1]]!.rights.publishDenied += hubs }
      case "read":
        let given = try pairs(parameters, allowed: ["hubs", "kinds"])
        let hubs = try patterns(given["hubs"], of: "read needs hubs=NAME,...")
        var kinds: [NamePattern]?
        if let list = given["kinds"], list != "*" { kinds = try patterns(list, of: "kinds=KIND,...") }
        let rule = ReadRights.Rule(hubs: hubs, kinds: kinds)
        if isGrant { people[words[1]]!.allowRead.append(rule) } else { people[words[1]]!.denyRead.append(rule) }
      case "prove", "erase", "operate":
        guard isGrant else { throw wrong("\(right) cannot be denied: without a grant nobody has it") }
        guard parameters.isEmpty else { throw wrong("\(right) takes nothing, and \(parameters[0]) was given") }
        switch right {
        case "prove": people[words[1]]!.rights.mayProve = true
        case "erase": people[words[1]]!.rights.mayErase = true
        default: people[words[1]]!.rights.mayOperate = true
        }
      default: throw wrong("\"\(right)\" is no right; there are publish, read, prove, erase and operate")
      }
    }
  }

  private mutating func addQuota(_ words: [String]) throws(AccessFileError) {
    let given = try pairs(
      Array(words.dropFirst(2)), allowed: ["connections", "bytes", "producers", "subscriptions", "filter-bytes", "replay"])
    for (key, text) in given.sorted(by: { $0.key < $1.key }) {
      let isRate = key == "bytes" || key == "replay"
      guard let number = Self.number(text, isRate: isRate, isSize: isRate || key == "filter-bytes") else {
        let example = isRate ? "20MB/s" : key == "filter-bytes" ? "64KiB" : "50"
        throw wrong("\(key)=\(text) is not a number greater than 0, such as \(key)=\(example)")
      }
      switch key {
      case "connections": people[words[1]]!.rights.quota.connections = number
      case "bytes": people[words[1]]!.rights.quota.bytesPerSecond = number
      case "producers": people[words[1]]!.rights.quota.producers = number
      case "subscriptions": people[words[1]]!.rights.quota.subscriptions = number
      case "filter-bytes": people[words[1]]!.rights.quota.filterBytes = number
      default: people[words[1]]!.rights.quota.replayBytesPerSecond = number
      }
    }
  }

  // MARK: - Words

  static func isName(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
      }
  }

  private func pairs(_ words: [String], allowed: [String]) throws(AccessFileError) -> [String: String] {
    var found: [String: String] = [:]
    for word in words {
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2, allowed.contains(parts[0]), !parts[1].isEmpty else {
        throw wrong("\"\(word)\" is not one of \(allowed.map { "\($0)=..." }.joined(separator: ", "))")
      }
      guard found[parts[0]] == nil else { throw wrong("\(parts[0]) is given twice") }
      found[parts[0]] = parts[1]
    }
    return found
  }

  private func patterns(_ list: String?, of form: String) throws(AccessFileError) -> [NamePattern] {
    guard let list else { throw wrong(form) }
    var found: [NamePattern] = []
    for part in list.split(separator: ",", omittingEmptySubsequences: false) {
      guard let pattern = NamePattern(String(part)) else {
        throw wrong("\"\(part)\" is neither a name nor a name's beginning with * at its end")
      }
      found.append(pattern)
    }
    return found
  }

  /// A date (its first moment, UTC), or a time of RFC 3339.
  private func time(_ text: String) throws(AccessFileError) -> UInt64 {
    let whole = text.utf8.count == 10 ? "\(text)T00:00:00Z" : text
    guard let time = try? Date(whole, strategy: .iso8601), (0..<9e9).contains(time.timeIntervalSince1970) else {
      throw wrong("\"\(text)\" is neither a date such as 2027-01-01 nor a time such as 2027-01-01T12:00:00Z")
    }
    return UInt64(time.timeIntervalSince1970) * 1_000_000_000
  }

  /// `50`; sizes also `64KiB`, `20MB`; rates also `20MB/s`.
  private static func number(_ text: String, isRate: Bool, isSize: Bool) -> Int? {
    var text = text.lowercased()
    if isRate, text.hasSuffix("/s") { text.removeLast(2) }
    let units: [(String, Int)] = [
      ("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("kb", 1000), ("mb", 1_000_000), ("gb", 1_000_000_000), ("b", 1), ("", 1),
    ]
    for (suffix, size) in units where text.hasSuffix(suffix) && (isSize || suffix.isEmpty) {
      guard let number = Int(text.dropLast(suffix.count)), number > 0 else { continue }
      let (product, overflow) = number.multipliedReportingOverflow(by: size)
      return overflow ? nil : product
    }
    return nil
  }
}
