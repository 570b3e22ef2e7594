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
    var fields = SegmentByteReader(frame)
    guard let id = fields.length(tag: 0x08), let content = fields.content(tag: 0x1A), fields.offset == frame.count else { return nil }
    var parts = SegmentByteReader(content)
    guard let recorded = parts.length(tag: 0x08), parts.expect(0x10), parts.expect(0), let first = parts.fixed64(tag: 0x19),
      parts.offset == content.count, first <= Record.maximumSequence
    else { return nil }
    self.init(id: UInt64(id), recorded: recorded, firstSequence: first)
  }

  package var appended: Appended { Appended(recorded: Int(recorded), firstSequence: firstSequence) }

  /// - Returns: the number of bytes written.
  package func write(to start: UnsafeMutableRawPointer) -> Int {
    // recorded, ignored (none), first_sequence; around it id and appended.
    let content = 1 + Framing.varintSize(recorded) + 2 + 9
    var p = Framing.writeVarint(UInt64(1 + Framing.varintSize(id) + 2 + content), to: start)
    p.storeBytes(of: 0x08, as: UInt8.self)
    p = Framing.writeVarint(id, to: p + 1)
    p.storeBytes(of: 0x1A, as: UInt8.self)
    (p + 1).storeBytes(of: UInt8(content), as: UInt8.self)
    (p + 2).storeBytes(of: 0x08, as: UInt8.self)
    p = Framing.writeVarint(recorded, to: p + 3)
    p.storeBytes(of: 0x10, as: UInt8.self)
    (p + 1).storeBytes(of: 0, as: UInt8.self)
    (p + 2).storeBytes(of: 0x19, as: UInt8.self)
    (p + 3).storeBytes(of: firstSequence.littleEndian, as: UInt64.self)
    return p + 11 - start
  }
}
