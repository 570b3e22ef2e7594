import CAuditDigest

/// A stored signed checkpoint: an element of `CheckpointHistory`, in canonical encoding.
public struct StoredCheckpoint: Sendable, Equatable {
  private static let field = Fields.CheckpointHistory.checkpoints
  /// Maximum bytes of a note.
  package static let maxNoteBytes = 64 << 10

  /// Number of records that it covers.
  public var size: UInt64
  /// When it was stored, in Unix ns.
  public var storedAt: UInt64
  /// The signed note (C2SP tlog-checkpoint).
  public var note: [UInt8]

  public init(size: UInt64, storedAt: UInt64, note: [UInt8]) {
    self.size = size
    self.storedAt = storedAt
    self.note = note
  }

  /// The encoded element, with its tag and length.
  package func encoded() -> [UInt8] {
    typealias Part = Fields.StoredCheckpoint
    let capacity = Part.size.byteCount(size) + Part.storedAt.byteCount(storedAt) + Part.note.byteCount(contentBytes: note.count)
    var message = [UInt8](wireCapacity: capacity) { writer in
      writer.write(Part.size, size)
      writer.write(Part.storedAt, storedAt)
      writer.write(Part.note, note)
    }
    message.appendChecksum(Part.crc32c)
    return [Self.field.tagByte] + Framing.delimited(message)
  }

  /// Decodes the element at the start of `bytes`.
  ///
  /// - Returns: the element and its size in bytes; `nil` if it is damaged or incomplete.
  package static func read(_ bytes: UnsafeRawBufferPointer) -> (checkpoint: StoredCheckpoint, bytes: Int)? {
    typealias Part = Fields.StoredCheckpoint
    var element = CanonicalReader(bytes)
    guard let message = element.content(Self.field) else { return nil }
    var reader = CanonicalReader(message)
    guard let size = reader.fixed64(Part.size), let storedAt = reader.fixed64(Part.storedAt),
      let note = reader.content(Part.note), note.count <= maxNoteBytes
    else { return nil }
    let checked = reader.offset
    guard let checksum = reader.fixed32(Part.crc32c), reader.offset == message.count,
      caudit_crc32c(0, message.baseAddress, checked) == checksum
    else { return nil }
    return (StoredCheckpoint(size: size, storedAt: storedAt, note: Array(note)), element.offset)
  }
}
