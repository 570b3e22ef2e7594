import AuditSchema
import CAuditDigest

/// A record taken apart by somebody who knows the format, to be put together again with a checksum that fits.
struct ForgedRecord: Equatable {
  /// The header's own bytes.
  var header: [UInt8]
  /// The body, or the zeros in its place, with tag and length; empty where there is neither.
  var rest: [UInt8]

  /// - Parameter encoded: the record with its tag and length.
  init?(_ encoded: ArraySlice<UInt8>) {
    let encoded = Array(encoded)
    guard let framing = encoded.withUnsafeBytes({ RecordFraming(head: $0) }), framing.totalBytes == encoded.count else { return nil }
    header = Array(encoded[framing.header])
    rest = Array(encoded[framing.header.upperBound..<encoded.count - 5])
  }

  /// With tag, length and checksum.
  var encoded: [UInt8] { [RecordFraming.tag] + Framing.delimited(content) }

  /// With the checksum.
  var content: [UInt8] {
    var content = [0x0A] + Framing.delimited(header) + rest
    let checksum = content.withUnsafeBytes { caudit_crc32c(0, $0.baseAddress, $0.count) }
    content.append(0x1D)
    content += withUnsafeBytes(of: checksum.littleEndian) { Array($0) }
    return content
  }

  var sequence: UInt64 {
    get { number(at: 1) }
    set { setNumber(newValue, at: 1) }
  }

  /// Unix ns.
  var receivedAt: UInt64 {
    get { number(at: 10) }
    set { setNumber(newValue, at: 10) }
  }

  private func number(at offset: Int) -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(header[offset + $1]) << (8 * UInt64($1)) } }

  private mutating func setNumber(_ number: UInt64, at offset: Int) {
    header.replaceSubrange(offset..<offset + 8, with: withUnsafeBytes(of: number.littleEndian) { Array($0) })
  }

  /// The content of the header's field of this number, which has a length.
  func headerField(_ number: Int) -> Range<Int>? {
    header.withUnsafeBytes { bytes in
      var fields = WireReader(bytes)
      while let field = fields.next() {
        if field.number == number { return field.end - field.bytes.count..<field.end }
      }
      return nil
    }
  }

  /// `nil` when it was erased.
  var body: [UInt8]? {
    get {
      guard rest.first == RecordFraming.bodyTag else { return nil }
      return rest.withUnsafeBytes { bytes in
        var fields = WireReader(bytes)
        return fields.next().map { Array($0.bytes) }
      }
    }
    set {
      let content = newValue ?? [UInt8](repeating: 0, count: body?.count ?? 0)
      rest = [newValue == nil ? RecordFraming.erasedTag : RecordFraming.bodyTag] + Framing.delimited(content)
    }
  }

  /// Makes the hash in the header that of the body.
  mutating func hashBody() {
    guard let body, let place = headerField(8) else { return }
    header.replaceSubrange(place, with: body.withUnsafeBytes { SHA256.hash($0) })
  }
}
