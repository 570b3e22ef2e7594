import AuditSchema
import Foundation
import Testing

/// Runs events through the same decoding and translation as the server does.
final class Translation {
  let arena = DecodeArena(limitBytes: 16 << 20)
  let records = EncodedRecords()
  var ignored: [UInt32] { records.ignored }
  var now: UInt64 = 1_767_225_600_000_000_000  // 2026-01-01T00:00:00Z
  var recordLimit = 1 << 20
  let origin: RecordOrigin

  init(hub: String = "hub-1", producer: String? = nil) throws { origin = try RecordOrigin(hub: hub, producer: producer) }

  /// The records of encoded events, sealed as sequences from 0.
  func records(ofEvents events: [[UInt8]], firstNumber: UInt64? = nil) throws -> [Record] {
    let frame = ClientFrameEncoder.append(id: 1, producerSequence: firstNumber, events: events)
    return try records(ofFrame: frame, firstNumber: firstNumber)
  }

  func records(ofFrame frame: [UInt8], firstNumber: UInt64? = nil) throws -> [Record] {
    defer { arena.reset() }
    let time = now
    let translator = EventTranslator(arena: arena, now: { time })
    try frame.withUnsafeBytes { bytes in
      guard case .frame(let range) = try Framing.next(in: bytes, at: 0, limit: 1 << 20) else {
        throw RequestError(.malformedFrame, "no whole frame")
      }
      var id: UInt64?
      let request = try ClientFrame(UnsafeRawBufferPointer(rebasing: bytes[range]), in: arena, identified: &id).request
      guard case .append(let append) = request else { throw RequestError(.invalidRequest, "not an append") }
      try translator.translate(append, origin: origin, firstNumber: firstNumber, recordLimit: recordLimit, into: records)
    }
    _ = records.seal(records.spans.indices, firstSequence: 0, receivedAt: now)
    return try Record.records(inBatch: records.bytes)
  }
}

extension [UInt8] {
  init(hex: String) {
    self = stride(from: 0, to: hex.utf8.count, by: 2).map { index in
      let start = hex.index(hex.startIndex, offsetBy: index)
      return UInt8(hex[start..<hex.index(start, offsetBy: 2)], radix: 16)!
    }
  }

  var text: String { String(decoding: self, as: UTF8.self) }
}
