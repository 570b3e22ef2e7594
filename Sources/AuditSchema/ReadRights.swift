/// A name, or all names that begin with it: `bank`, `bank-*`, `*`. Compared byte for byte.
package struct NamePattern: Sendable, Hashable {
  private let bytes: [UInt8]
  private let isPrefix: Bool

  /// - Parameter text: `*` may stand at its end only, and means any number of bytes there.
  /// - Returns: `nil` for an empty text, and for a `*` elsewhere.
  package init?(_ text: String) {
    isPrefix = text.hasSuffix("*")
    bytes = Array(text.utf8.dropLast(isPrefix ? 1 : 0))
    guard !text.isEmpty, !bytes.contains(UInt8(ascii: "*")) else { return nil }
  }

  package static let all = NamePattern("*")!

  package var isAll: Bool { isPrefix && bytes.isEmpty }

  /// The name, if the pattern is one name.
  package var name: [UInt8]? { isPrefix ? nil : bytes }

  package func matches(_ name: UnsafeRawBufferPointer) -> Bool {
    guard isPrefix ? name.count >= bytes.count : name.count == bytes.count else { return false }
    return bytes.withUnsafeBytes { $0.elementsEqual(UnsafeRawBufferPointer(rebasing: name[..<$0.count])) }
  }

  package func matches(_ name: String) -> Bool {
    var name = name
    return name.withUTF8 { matches(UnsafeRawBufferPointer($0)) }
  }

  package var byteCount: Int { bytes.count }
}

/// Which records somebody may read, by hub and kind: those that an `allow` rule names and no `deny` rule does.
///
/// Records of the log's own hub are allowed only by a rule that names this hub, never by `*`.
package struct ReadRights: Sendable, Hashable {
  package struct Rule: Sendable, Hashable {
    package var hubs: [NamePattern]
    /// `nil`: any kind, and none. Otherwise a record without a kind is not named.
    package var kinds: [NamePattern]?

    package init(hubs: [NamePattern], kinds: [NamePattern]? = nil) {
      self.hubs = hubs
      self.kinds = kinds
    }

    fileprivate func names(hub: UnsafeRawBufferPointer, isOwn: Bool, kind: UnsafeRawBufferPointer?) -> Bool {
      guard hubs.contains(where: { (!isOwn || $0.name != nil) && $0.matches(hub) }) else { return false }
      guard let kinds else { return true }
      guard let kind else { return false }
      return kinds.contains { $0.matches(kind) }
    }

    fileprivate var byteCount: Int { 64 + (hubs + (kinds ?? [])).reduce(0) { $0 + $1.byteCount + 48 } }
  }

  package let allow: [Rule]
  package let deny: [Rule]
  /// Whether every record may be read, the log's own included.
  package let isUnrestricted: Bool

  /// Whether every record but the log's own may be read: the common case, decided without a look at rules.
  private let allowsEveryHub: Bool

  /// Whether a rule names kinds, so that a record's hub is not enough.
  private let namesKinds: Bool

  private static let ownHub = Array(HubName.ofTheLog.utf8)

  package init(allow: [Rule], deny: [Rule] = []) {
    self.allow = allow
    self.deny = deny
    namesKinds = (allow + deny).contains { $0.kinds != nil }
    allowsEveryHub = deny.isEmpty && allow.contains { $0.kinds == nil && $0.hubs.contains(where: \.isAll) }
    isUnrestricted =
      allowsEveryHub
      && allow.contains { $0.kinds == nil && $0.hubs.contains { $0.name == Self.ownHub } }
  }

  package static let everything = ReadRights(allow: [Rule(hubs: [.all, NamePattern(HubName.ofTheLog)!])])

  /// - Parameter kind: `nil` for a record without one.
  package func allows(hub: UnsafeRawBufferPointer, kind: UnsafeRawBufferPointer?) -> Bool {
    if isUnrestricted { return true }
    let isOwn = Self.isOwn(hub)
    if allowsEveryHub, !isOwn { return true }
    guard allow.contains(where: { $0.names(hub: hub, isOwn: isOwn, kind: kind) }) else { return false }
    // What is denied by `*` is denied for the log's own records too.
    return !deny.contains { $0.names(hub: hub, isOwn: false, kind: kind) }
  }

  /// - Parameter record: a `Record` without tag and length. One without a header is refused.
  package func allows(record: UnsafeRawBufferPointer) -> Bool {
    if isUnrestricted { return true }
    var parts = WireReader(record)
    guard let header = RecordValues.header(&parts) else { return false }
    var hub = UnsafeRawBufferPointer(start: nil, count: 0)
    var kind: UnsafeRawBufferPointer?
    var fields = WireReader(header)
    while let field = fields.next() {
      if field.number == Fields.RecordHeader.hub.number {
        hub = field.bytes
        if !namesKinds { break }
      } else if field.number == Fields.RecordHeader.kind.number {
        kind = field.bytes
        break
      }
    }
    return allows(hub: hub, kind: kind)
  }

  /// Whether every record of an encoded `RecordBatch` is allowed, and every commit that begins in it is in it to its last record: the header
  /// of a commit has a checksum over all of its records. Replays call it for each piece that they read.
  package func allowsAll(_ batch: UnsafeRawBufferPointer) -> Bool {
    if isUnrestricted { return true }
    var rest = batch
    // Of the last commit that has its header here.
    var missing: UInt64 = 0
    while !rest.isEmpty {
      let end: Int
      if !namesKinds, let framing = RecordFraming(head: rest), framing.totalBytes <= rest.count,
        let hub = Self.hub(inHeader: UnsafeRawBufferPointer(rebasing: rest[framing.header]))
      {
        guard allows(hub: hub, kind: nil) else { return false }
        end = framing.totalBytes
        if missing > 0 { missing -= 1 }
      } else {
        var fields = WireReader(rest)
        guard let field = fields.next() else { return false }
        if RecordBatchBytes.isRecord(field) {
          guard allows(record: field.bytes) else { return false }
          if missing > 0 { missing -= 1 }
        } else {
          missing = Self.count(ofCommit: field.bytes)
        }
        end = field.end
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[end...])
    }
    return missing == 0
  }

  private static func count(ofCommit header: UnsafeRawBufferPointer) -> UInt64 {
    var fields = WireReader(header)
    while let field = fields.next() {
      if field.number == Fields.Commit.count.number { return field.value }
    }
    return 0
  }

  /// The hub where headers of the log have it: behind sequence and time, 9 bytes each. `nil` if it is elsewhere.
  @inline(__always)
  private static func hub(inHeader header: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    let start = 18
    guard header.count >= start + 2, header[start] == Fields.RecordHeader.hub.tagByte else { return nil }
    let length = Int(header[start + 1])
    guard length < 0x80, header.count - start - 2 >= length else { return nil }
    return UnsafeRawBufferPointer(rebasing: header[start + 2..<start + 2 + length])
  }

  private static func isOwn(_ hub: UnsafeRawBufferPointer) -> Bool {
    hub.count == ownHub.count && ownHub.withUnsafeBytes { $0.elementsEqual(hub) }
  }

  /// About the bytes of memory of the rules.
  package var memoryBytes: Int { (allow + deny).reduce(0) { $0 + $1.byteCount } }
}
