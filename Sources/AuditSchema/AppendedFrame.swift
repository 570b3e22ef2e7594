/// The most frequent answer to an append: all events recorded, with consecutive sequences. Has the bytes that `ServerFrameEncoder.appended`
/// makes, but is written straight into the send buffer and read in place.
package struct AppendedFrame {
  /// Maximum bytes of the frame with its length prefix.
  package static let maximumBytes = 48

  package let id: UInt64
  private let recorded: UInt64
  private let firstSequence: UInt64

  package init(id: UInt64, recorded: Int, firstSequence: UInt64) {
    self.id = id
    self.recorded = UInt64(recorded)
    self.firstSequence = firstSequence
  }

  /// - Returns: `nil` for any other frame, and for this answer in a non-canonical encoding.
  package init?(_ frame: UnsafeRawBufferPointer) {
    var fields = CanonicalReader(frame)
    guard let id = fields.varint(Fields.ServerFrame.id), let content = fields.content(Fields.ServerFrame.appended),
      fields.offset == frame.count
    else { return nil }
    var parts = CanonicalReader(content)
    guard let recorded = parts.varint(Fields.Appended.recorded), parts.varint(Fields.Appended.ignored) == 0,
      let first = parts.fixed64(Fields.Appended.firstSequence), parts.offset == content.count, first <= Record.maximumSequence
    else { return nil }
    self.init(id: UInt64(id), recorded: recorded, firstSequence: first)
  }

  package var appended: Appended { Appended(recorded: Int(recorded), firstSequence: firstSequence) }

  /// Writes the frame.
  ///
  /// - Parameter start: has room for `maximumBytes` bytes.
  /// - Returns: the number of bytes written.
  package func write(to start: UnsafeMutableRawPointer) -> Int {
    typealias Part = Fields.Appended
    let contentBytes = Part.recorded.byteCount(recorded) + Part.ignored.byteCount(0) + Part.firstSequence.byteCount(firstSequence)
    let frameBytes = Fields.ServerFrame.id.byteCount(id) + Fields.ServerFrame.appended.byteCount(contentBytes: contentBytes)
    var writer = WireWriter(start, capacity: Self.maximumBytes)
    writer.varint(UInt64(frameBytes))
    writer.write(Fields.ServerFrame.id, id)
    writer.begin(Fields.ServerFrame.appended, contentBytes: contentBytes)
    writer.write(Part.recorded, recorded)
    writer.write(Part.ignored, 0)
    writer.write(Part.firstSequence, firstSequence)
    return writer.byteCount
  }
}
