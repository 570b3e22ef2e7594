/// Whose signatures make a checkpoint good (C2SP tlog-policy): any one of the logs, and a quorum of the witnesses.
public struct TrustPolicy: Sendable {
  public struct Log: Hashable, Sendable {
    public let key: VerifierKey
    public let url: String?
  }

  public struct Witness: Hashable, Sendable {
    /// Name within the policy.
    public let name: String
    public let key: VerifierKey
    public let url: String?
  }

  public private(set) var logs: [Log] = []
  public private(set) var witnesses: [Witness] = []

  /// Witness, or group of earlier ones, by its place in `nodes`.
  private enum Node: Sendable {
    case witness(VerifierKey)
    case group(threshold: Int, members: [Int])
  }

  private var nodes: [Node] = []
  // Names are octets to a policy, not characters.
  private var places: [[UInt8]: Int] = [:]
  private var members: Set<Int> = []
  /// Nil: no witness is needed.
  private var quorum: Int?

  /// Most lines of a policy.
  public static let maxLines = 10_000

  /// Reads a policy.
  ///
  /// - Throws: `.malformed` with the number of the line; `.keyUnusable` when a log's key is not of type 1 or a witness' not of type 4.
  public init(_ bytes: some Collection<UInt8>) throws(EvidenceError) {
    var reader = NoteLines(Array(bytes)[...])
    var hasQuorum = false
    while let line = reader.next() {
      guard reader.line <= TrustPolicy.maxLines else { throw EvidenceError(.malformed, "policy: more than \(TrustPolicy.maxLines) lines") }
      do throws(EvidenceError) {
        hasQuorum = try read(line, afterQuorum: hasQuorum) || hasQuorum
      } catch {
        throw EvidenceError(error.code, "policy: line \(reader.line): \(error.message)")
      }
    }
    guard reader.rest.isEmpty else { throw EvidenceError(.malformed, "policy: the last line does not end in a newline") }
    guard hasQuorum else { throw EvidenceError(.malformed, "policy: there is no quorum line; write \"quorum none\" to need no witness") }
  }

  /// Whether the witnesses among the verified signatures are enough.
  public func isQuorum(_ signatures: [VerifiedSignature]) -> Bool {
    guard let quorum else { return true }
    let cosigners = Set(signatures.map(\.key))
    // Groups name earlier places only, so one pass settles all.
    var holds: [Bool] = []
    for node in nodes {
      switch node {
      case .witness(let key): holds.append(cosigners.contains(key))
      case .group(let threshold, let members): holds.append(members.count(where: { holds[$0] }) >= threshold)
      }
    }
    return holds[quorum]
  }

  /// Verifies a checkpoint: signed by one of the logs, of the origin that the log's key names, and cosigned by a quorum.
  ///
  /// - Returns: all good signatures of keys of the policy.
  /// - Throws: `.wrongOrigin` when no log of the policy has the checkpoint's origin; `.unsigned`, `.badSignature`, `.quorumMissing`.
  @discardableResult
  public func verify(_ signed: SignedCheckpoint) throws(EvidenceError) -> [VerifiedSignature] {
    let origin = signed.checkpoint.origin
    let keys = logs.map(\.key).filter { $0.name.utf8.elementsEqual(origin.utf8) }
    guard !keys.isEmpty else {
      throw EvidenceError(.wrongOrigin, "policy: no log has the checkpoint's origin \(EvidenceError.quote(origin.utf8))")
    }
    let signatures = try signed.verify(origin: origin, logKeys: keys, witnessKeys: witnesses.map(\.key))
    guard isQuorum(signatures) else {
      let cosigned = signatures.count { $0.time != nil }
      throw EvidenceError(
        .quorumMissing,
        "policy: \(cosigned) of \(witnesses.count) witnesses have cosigned size \(signed.checkpoint.size), which is no quorum")
    }
    return signatures
  }
}

extension TrustPolicy {
  /// Reads a line; returns whether it was the quorum's.
  private mutating func read(_ line: ArraySlice<UInt8>, afterQuorum: Bool) throws(EvidenceError) -> Bool {
    if let bad = line.first(where: { $0 < 0x20 && $0 != UInt8(ascii: "\t") || $0 == 0x7F }) {
      throw EvidenceError(.malformed, "control character \(bad) is not allowed")
    }
    let words = line.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
    guard let keyword = words.first, keyword.first != UInt8(ascii: "#") else { return false }
    switch String(decoding: keyword, as: UTF8.self) {
    case "log": try readLog(words)
    case "witness": try readWitness(words)
    case "group": try readGroup(words)
    case "quorum":
      guard !afterQuorum else { throw EvidenceError(.malformed, "a second quorum") }
      guard words.count == 2 else { throw EvidenceError(.malformed, "expected: quorum <name>") }
      quorum = words[1].elementsEqual("none".utf8) ? nil : try place(of: words[1])
      return true
    default: throw EvidenceError(.malformed, "\(EvidenceError.quote(keyword)) is not log, witness, group or quorum")
    }
    return false
  }

  private mutating func readLog(_ words: [ArraySlice<UInt8>]) throws(EvidenceError) {
    guard (2...3).contains(words.count) else { throw EvidenceError(.malformed, "expected: log <vkey> [<url>]") }
    let key = try TrustPolicy.key(words[1], kind: .ed25519)
    guard !logs.contains(where: { $0.key.publicKey == key.publicKey }) else {
      throw EvidenceError(.malformed, "the key of \(key.name) is already a log's")
    }
    logs.append(Log(key: key, url: words.count == 3 ? String(decoding: words[2], as: UTF8.self) : nil))
  }

  private mutating func readWitness(_ words: [ArraySlice<UInt8>]) throws(EvidenceError) {
    guard (3...4).contains(words.count) else { throw EvidenceError(.malformed, "expected: witness <name> <vkey> [<url>]") }
    let key = try TrustPolicy.key(words[2], kind: .cosignature)
    guard !witnesses.contains(where: { $0.key.publicKey == key.publicKey }) else {
      throw EvidenceError(.malformed, "the key of \(key.name) is already a witness'")
    }
    try define(words[1], as: .witness(key))
    let url = words.count == 4 ? String(decoding: words[3], as: UTF8.self) : nil
    witnesses.append(Witness(name: String(decoding: words[1], as: UTF8.self), key: key, url: url))
  }

  private mutating func readGroup(_ words: [ArraySlice<UInt8>]) throws(EvidenceError) {
    guard words.count >= 4 else { throw EvidenceError(.malformed, "expected: group <name> all|any|<k> <name>...") }
    var group: [Int] = []
    for word in words[3...] {
      let place = try place(of: word)
      guard members.insert(place).inserted else {
        throw EvidenceError(.malformed, "\(EvidenceError.quote(word)) is already a member of a group")
      }
      group.append(place)
    }
    let threshold: Int
    switch String(decoding: words[2], as: UTF8.self) {
    case "all": threshold = group.count
    case "any": threshold = 1
    default:
      guard let number = UInt64(canonicalDecimal: words[2]), number >= 1, number <= group.count else {
        throw EvidenceError(
          .malformed, "the threshold must be all, any or 1 to \(group.count), the number of members; got \(EvidenceError.quote(words[2]))")
      }
      threshold = Int(number)
    }
    try define(words[1], as: .group(threshold: threshold, members: group))
  }

  private mutating func define(_ name: ArraySlice<UInt8>, as node: Node) throws(EvidenceError) {
    guard !name.elementsEqual("none".utf8), places[Array(name)] == nil else {
      throw EvidenceError(.malformed, "the name \(EvidenceError.quote(name)) is already taken")
    }
    places[Array(name)] = nodes.count
    nodes.append(node)
  }

  private func place(of name: ArraySlice<UInt8>) throws(EvidenceError) -> Int {
    guard let place = places[Array(name)] else {
      throw EvidenceError(.malformed, "no witness or group \(EvidenceError.quote(name)) was named above")
    }
    return place
  }

  private static func key(_ word: ArraySlice<UInt8>, kind: SignatureKind) throws(EvidenceError) -> VerifierKey {
    guard let text = String(validating: word, as: UTF8.self) else { throw EvidenceError(.malformed, "the key is not valid UTF-8") }
    let key = try VerifierKey(text)
    guard key.kind == kind else {
      throw EvidenceError(.keyUnusable, "the key of \(key.name) is of type \(key.kind.rawValue), not \(kind.rawValue)")
    }
    return key
  }
}
