import CAuditDigest

/// A signed checkpoint as it is kept: an element of `CheckpointHistory` in its one canonical form.
public struct StoredCheckpoint: Sendable, Equatable {
  package static let tag: UInt8 = 0x0A
  /// The largest note that is kept, in bytes.
  package static let maxNoteBytes = 64 << 10

  /// Number of records that it covers.
  public var size: UInt64
  /// When it was stored, Unix ns.
  public var storedAt: UInt64
  /// The signed note (C2SP tlog-checkpoint).
  public var note: [UInt8]

  public init(size: UInt64, storedAt: UInt64, note: [UInt8]) {
    self.size = size
    self.storedAt = storedAt
    self.note = note
  }

  /// The element with its tag and length.
  package func encoded() -> [UInt8] {
    var message: [UInt8] = [0x09]
    message.append(littleEndian: size)
    message.append(0x11)
    message.append(littleEndian: storedAt)
    message.append(0x1A)
    message += Framing.delimited(note)
    let checksum = message.withUnsafeBytes { caudit_crc32c(0, $0.baseAddress, $0.count) }
    message.append(0x7D)
    message.append(littleEndian: checksum)
    return [Self.tag] + Framing.delimited(message)
  }

  /// Reads the element at the start of `bytes`.
  ///
  /// - Returns: the element and the bytes it takes; `nil` when it is damaged or not whole.
  package static func read(_ bytes: UnsafeRawBufferPointer) -> (checkpoint: StoredCheckpoint, bytes: Int)? {
    var field = SegmentByteReader(bytes)
    guard let message = field.content(tag: tag) else { return nil }
    var reader = SegmentByteReader(message)
    guard let size = reader.fixed64(tag: 0x09), let storedAt = reader.fixed64(tag: 0x11),
      let note = reader.content(tag: 0x1A), note.count <= maxNoteBytes
    else { return nil }
    let checked = reader.offset
    guard let checksum = reader.fixed32(tag: 0x7D), reader.offset == message.count,
      caudit_crc32c(0, message.baseAddress, checked) == checksum
    else { return nil }
    return (StoredCheckpoint(size: size, storedAt: storedAt, note: Array(note)), field.offset)
  }
}
