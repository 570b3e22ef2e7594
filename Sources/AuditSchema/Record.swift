import CAuditDigest
import CAuditSchema

/// A record of the log.
///
/// It keeps the encoded bytes and the ranges of its fields in them. Texts are decoded on access, the body by `json`.
public struct Record: Sendable, Equatable {
  /// Maximum of a sequence, and of a producer's number.
  package static let maximumSequence: UInt64 = 1 << 63

  /// Position in the log, from 0.
  public let sequence: UInt64
  /// When the server received the record, as Unix time in ns.
  public let receivedAt: UInt64
  /// The producer's number of the event; `nil` without a producer.
  public let producerSequence: UInt64?
  public let schemaVersion: UInt32
  /// The encoded `hubaudit.v1.Record`, as on disk, without tag and length.
  public let encoded: [UInt8]
  let places: RecordPlaces

  public var hub: String { text(places.hub) ?? "" }
  public var producer: String? { text(places.producer) }
  /// `nil` for a custom record without a kind.
  public var kind: String? { text(places.kind) }
  public var bodySHA256: [UInt8] { places.bodySHA256.range.map { Array(encoded[$0]) } ?? [] }
  /// The authenticated identity of the connection that sent it; `nil` for an anonymous one.
  public var principal: String? { text(places.principal) }
  /// The time given by the hub, unchanged; `nil` if it gave none, or the body is erased.
  public var at: String? { text(places.at) }

  private func text(_ place: RecordPlaces.Place) -> String? { place.range.map { String(decoding: encoded[$0], as: UTF8.self) } }

  /// Decodes a `Record` without tag and length. Verifies no checksum; `isIntact` does.
  ///
  /// - Throws: `malformedFrame`.
  public init(_ encoded: [UInt8]) throws(RequestError) {
    var places = RecordPlaces()
    var sequence: UInt64?
    var receivedAt: UInt64 = 0
    var producerSequence: UInt64?
    var version: UInt32 = 0
    // `RecordPlaces` has 32-bit offsets.
    var whole = encoded.count <= Int(Int32.max)
    if whole {
      encoded.withUnsafeBytes { bytes in
        var parts = WireReader(bytes)
        while let part = parts.next() {
          if part.number == Fields.Record.header.number {
            places.header = .init(of: part, from: 0)
            let start = part.end - part.bytes.count
            var fields = WireReader(part.bytes)
            while let field = fields.next() {
              switch field.number {
              case Fields.RecordHeader.sequence.number: sequence = field.value
              case Fields.RecordHeader.receivedAt.number: receivedAt = field.value
              case Fields.RecordHeader.hub.number: places.hub = .init(of: field, from: start)
              case Fields.RecordHeader.producer.number: places.producer = .init(of: field, from: start)
              case Fields.RecordHeader.producerSequence.number: producerSequence = field.value
              case Fields.RecordHeader.kind.number: places.kind = .init(of: field, from: start)
              case Fields.RecordHeader.schemaVersion.number: version = UInt32(truncatingIfNeeded: field.value)
              case Fields.RecordHeader.bodySHA256.number: places.bodySHA256 = .init(of: field, from: start)
              case Fields.RecordHeader.principal.number: places.principal = .init(of: field, from: start)
              default: places.hasUnknownHeaderFields = true
              }
            }
            if !fields.isAtEnd { whole = false }
          } else if part.number == Fields.Record.body.number {
            places.body = .init(of: part, from: 0)
            let start = part.end - part.bytes.count
            var fields = WireReader(part.bytes)
            while let field = fields.next() {
              if field.number == Fields.RecordBody.at.number { places.at = .init(of: field, from: start) }
            }
            if !fields.isAtEnd { whole = false }
          }
        }
        if !parts.isAtEnd { whole = false }
      }
    }
    guard whole, places.header.range != nil, let sequence, sequence <= Self.maximumSequence else {
      throw RequestError(.malformedFrame, "\(encoded.count) bytes that should be a record are not one")
    }
    self.sequence = sequence
    self.receivedAt = receivedAt
    self.producerSequence = producerSequence
    schemaVersion = version
    self.encoded = encoded
    self.places = places
  }

  /// Whether the body is erased. The header still proves that the record existed.
  public var isErased: Bool { places.body.range == nil }

  /// The encoded header: the record's leaf in the tree.
  public var encodedHeader: ArraySlice<UInt8> { encoded[places.header.range!] }

  /// The encoded body; `nil` if it is erased.
  public var encodedBody: ArraySlice<UInt8>? { places.body.range.map { encoded[$0] } }

  /// Whether the checksum and the body hash match the bytes. The body hash of an erased record is not checked.
  public var isIntact: Bool {
    encoded.withUnsafeBytes { bytes in
      guard bytes.count > RecordFraming.checksumBytes,
        bytes[bytes.count - RecordFraming.checksumBytes] == Fields.Record.crc32c.tagByte
      else { return false }
      let stored = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: bytes.count - 4, as: UInt32.self))
      guard caudit_crc32c(0, bytes.baseAddress, bytes.count - RecordFraming.checksumBytes) == stored else { return false }
      guard let body = places.body.range else { return true }
      var hash = [UInt8](repeating: 0, count: SHA256.byteCount)
      caudit_sha256(bytes.baseAddress! + body.lowerBound, body.count, &hash)
      return hash == bodySHA256
    }
  }

  /// The record as AG2 writes it: one JSON object. A built-in kind gives the same bytes as AG2's line, a custom record the text that was
  /// sent. `nil` if the body is erased. For many records, `RecordRenderer` is faster.
  ///
  /// - Throws: `RequestError` if the body is malformed.
  public func json() throws(RequestError) -> [UInt8]? { try RecordRenderer().json(of: self) }

  /// The imported line of an "unreadable_line" record, and whether the file ended without a newline after it. `nil` for other kinds.
  ///
  /// - Throws: `RequestError` if the body is malformed.
  public func unreadableLine() throws(RequestError) -> (line: [UInt8], unterminated: Bool)? {
    try RecordRenderer().unreadableLine(of: self)
  }

  /// Decodes the records of an encoded `RecordBatch`, in order.
  ///
  /// - Throws: `malformedFrame`.
  public static func records(inBatch batch: UnsafeRawBufferPointer) throws(RequestError) -> [Record] {
    var records: [Record] = []
    var fields = WireReader(batch)
    while let field = fields.next() {
      if field.number == Fields.RecordBatch.records.number { records.append(try Record(Array(field.bytes))) }
    }
    guard fields.isAtEnd else { throw RequestError(.malformedFrame, "a batch of \(batch.count) bytes is cut short") }
    return records
  }
}
