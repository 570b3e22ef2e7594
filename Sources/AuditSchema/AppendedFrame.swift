/// The answer to an append that ordinary ones get: all recorded, in a row. It is what `ServerFrameEncoder.appended` makes, written straight to
/// where it is sent from and read in place.
package struct AppendedFrame {
  /// What the frame takes at most, with its length.
  package static let maximumBytes = 48

  package let id: UInt64
  private let recorded: UInt64
  private let firstSequence: UInt64

  package init(id: UInt64, recorded: Int, firstSequence: UInt64) {
    self.id = id
    self.recorded = UInt64(recorded)
    self.firstSequence = firstSequence
  }

  /// - Returns: `nil` for every other frame, and for one that is written in another way.
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

  /// - Parameter start: of `maximumBytes` bytes.
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
