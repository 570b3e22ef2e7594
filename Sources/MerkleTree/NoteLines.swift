/// Reads the lines of a text one by one, as bytes. String comparison is not used: it treats canonically equivalent names as equal.
struct NoteLines {
  private(set) var rest: ArraySlice<UInt8>
  /// Number of the last line read, from 1; 0 before the first.
  private(set) var line = 0

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  /// The next line without its newline; `nil` at the end, or if the last line has no newline.
  mutating func next() -> ArraySlice<UInt8>? {
    guard let end = rest.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
    defer { rest = rest[(end + 1)...] }
    line += 1
    return rest[..<end]
  }
}

extension Collection<UInt8> where SubSequence: Collection<UInt8> {
  /// The bytes after `prefix`; `nil` if these bytes do not begin with it.
  func dropping(prefix: StaticString) -> SubSequence? {
    let expected = prefix.withUTF8Buffer { Array($0) }
    return starts(with: expected) ? dropFirst(expected.count) : nil
  }
}

extension UInt64 {
  /// Parses ASCII digits without a sign or leading zero. `nil` for anything else, or a value above 64 bits.
  init?(canonicalDecimal digits: some Collection<UInt8>) {
    guard let first = digits.first, first != UInt8(ascii: "0") || digits.count == 1 else { return nil }
    var value: UInt64 = 0
    for digit in digits {
      guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(digit - UInt8(ascii: "0")))
      guard !overflow, !carry else { return nil }
      value = sum
    }
    self = value
  }

  var bigEndianBytes: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: self >> UInt64(56 - 8 * $0)) } }

  /// Decodes at most 8 bytes, big-endian.
  init(bigEndianBytes bytes: some Collection<UInt8>) {
    self = bytes.reduce(0) { $0 << 8 | UInt64($1) }
  }
}

extension NoteLines {
  /// Reads lines of one hash each, and the empty line that ends them.
  mutating func hashes(limit: Int, in format: String) throws(EvidenceError) -> [TreeHash] {
    var hashes: [TreeHash] = []
    while let line = next() {
      if line.isEmpty { return hashes }
      guard let hash = TreeHash(base64Bytes: line) else {
        throw EvidenceError(.malformed, "\(format): line \(self.line) is not 32 bytes in base64: \(EvidenceError.quote(line))")
      }
      guard hashes.count < limit else { throw EvidenceError(.malformed, "\(format): more than \(limit) hashes") }
      hashes.append(hash)
    }
    throw EvidenceError(.malformed, "\(format): the empty line before the checkpoint is missing")
  }
}
