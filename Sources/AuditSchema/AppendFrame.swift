/// Encoded events of an append: each with its tag and length, back to back.
package struct EncodedEvents: Sendable {
  package private(set) var count = 0
  /// May be changed in place. Lengths must stay the same.
  package var bytes: [UInt8] = []

  package init() {}

  /// Adds an event.
  ///
  /// - Parameter event: encoded by `EventEncoder`.
  /// - Returns: the event's range in `bytes`.
  @discardableResult
  package mutating func append(_ event: [UInt8]) -> Range<Int> {
    bytes.append(Fields.Append.events.tagByte)
    Framing.append(varint: UInt64(event.count), to: &bytes)
    bytes += event
    count += 1
    return bytes.count - event.count..<bytes.count
  }
}

/// The frame of an append whose events are already encoded. Its size is known in advance, so it is written straight into the send buffer.
package struct AppendFrame {
  private let id: UInt64
  private let producerSequence: UInt64?
  private let isProven: Bool
  private let contentBytes: Int
  /// Bytes of the frame without its length prefix. The server's `frame_bytes` limits this.
  package let bodyBytes: Int
  /// Bytes of the frame with its length prefix.
  package let byteCount: Int

  package init(id: UInt64, producerSequence: UInt64?, eventBytes: Int, isProven: Bool) {
    self.id = id
    self.producerSequence = producerSequence
    self.isProven = isProven
    contentBytes =
      (producerSequence.map { Fields.Append.producerSequence.byteCount($0) } ?? 0) + eventBytes
      + (isProven ? Fields.Append.proven.byteCount(1) : 0)
    bodyBytes = Fields.ClientFrame.id.byteCount(id) + Fields.ClientFrame.append.byteCount(contentBytes: contentBytes)
    byteCount = Framing.varintSize(UInt64(bodyBytes)) + bodyBytes
  }

  /// Writes the frame and returns its size, `byteCount` bytes.
  package func write(_ events: UnsafeRawBufferPointer, to start: UnsafeMutableRawPointer) -> Int {
    var writer = WireWriter(start, capacity: byteCount)
    writer.varint(UInt64(bodyBytes))
    writer.write(Fields.ClientFrame.id, id)
    writer.begin(Fields.ClientFrame.append, contentBytes: contentBytes)
    if let producerSequence { writer.write(Fields.Append.producerSequence, producerSequence) }
    writer.raw(events)
    if isProven { writer.write(Fields.Append.proven, 1) }
    return writer.byteCount
  }
}
