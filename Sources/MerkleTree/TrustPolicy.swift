/// The signatures that a checkpoint needs (C2SP tlog-policy): one of the logs', and a quorum of the witnesses'.
public struct TrustPolicy: Sendable {
  /// A trusted log.
  public struct Log: Hashable, Sendable {
    public let key: VerifierKey
    /// Not interpreted; `nil` if the policy names none.
    public let url: String?
  }

  /// A trusted witness.
  public struct Witness: Hashable, Sendable {
    /// Name within the policy.
    public let name: String
    public let key: VerifierKey
    /// Not interpreted; `nil` if the policy names none.
    public let url: String?
  }

  public private(set) var logs: [Log] = []
  public private(set) var witnesses: [Witness] = []

  /// A witness, or a group of earlier nodes, given by their indices in `nodes`.
  private enum Node: Sendable {
    case witness(VerifierKey)
    case group(threshold: Int, members: [Int])
  }

  private var nodes: [Node] = []
  // Index in `nodes` by name. Names are compared as bytes.
  private var places: [[UInt8]: Int] = [:]
  private var members: Set<Int> = []
  /// Index in `nodes`; `nil`: no witness is required.
  private var quorum: Int?

  /// Maximum number of lines of a policy.
  public static let maxLines = 10_000

  /// Parses a policy.
  ///
  /// - Throws: `.malformed`; `.keyUnusable` if a log's key is not of type 1 or a witness's key not of type 4. The message has the line
  ///   number.
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
    guard hasQuorum else {
      throw EvidenceError(.malformed, "policy: the quorum line is missing; write \"quorum none\" to require no witness")
    }
  }

  /// Whether the verified signatures include a quorum of witnesses.
  public func isQuorum(_ signatures: [VerifiedSignature]) -> Bool {
    guard let quorum else { return true }
    let cosigners = Set(signatures.map(\.key))
    // A group has only earlier nodes as members, so one pass is enough.
    var holds: [Bool] = []
    for node in nodes {
      switch node {
      case .witness(let key): holds.append(cosigners.contains(key))
      case .group(let threshold, let members): holds.append(members.count(where: { holds[$0] }) >= threshold)
      }
    }
    return holds[quorum]
  }

  /// Verifies that the log whose key is named like the checkpoint's origin has signed, and that a quorum of witnesses has cosigned.
  ///
  /// - Returns: all valid signatures of the policy's keys.
  /// - Throws: `.wrongOrigin` if no log of the policy has the checkpoint's origin; `.unsigned`, `.badSignature`, `.quorumMissing`.
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
        "policy: only \(cosigned) of \(witnesses.count) witnesses have cosigned size \(signed.checkpoint.size), less than the quorum")
    }
    return signatures
  }
}

extension TrustPolicy {
  /// Parses a line. Returns whether it is the quorum line.
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
      guard !afterQuorum else { throw EvidenceError(.malformed, "a second quorum line") }
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
      throw EvidenceError(.malformed, "the key of \(key.name) is already the key of a log")
    }
    logs.append(Log(key: key, url: words.count == 3 ? String(decoding: words[2], as: UTF8.self) : nil))
  }

  private mutating func readWitness(_ words: [ArraySlice<UInt8>]) throws(EvidenceError) {
    guard (3...4).contains(words.count) else { throw EvidenceError(.malformed, "expected: witness <name> <vkey> [<url>]") }
    let key = try TrustPolicy.key(words[2], kind: .cosignature)
    guard !witnesses.contains(where: { $0.key.publicKey == key.publicKey }) else {
      throw EvidenceError(.malformed, "the key of \(key.name) is already the key of a witness")
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
      throw EvidenceError(.malformed, "no earlier line defines a witness or group \(EvidenceError.quote(name))")
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
