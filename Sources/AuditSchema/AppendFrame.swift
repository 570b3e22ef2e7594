/// Events as an append carries them: encoded, each with its tag and length, one after the other.
package struct EncodedEvents: Sendable {
  package private(set) var count = 0
  /// Those who change bytes must not change lengths.
  package var bytes: [UInt8] = []

  package init() {}

  /// - Parameter event: what `EventEncoder` made.
  /// - Returns: where the event lies in `bytes`.
  @discardableResult
  package mutating func append(_ event: [UInt8]) -> Range<Int> {
    var length = UInt64(event.count)
    bytes.append(0x12)
    while length >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: length) | 0x80)
      length >>= 7
    }
    bytes.append(UInt8(length))
    bytes += event
    count += 1
    return bytes.count - event.count..<bytes.count
  }
}

/// The frame of an append around events that are encoded already: its size is known before, and it is written once, to where it is sent from.
package struct AppendFrame {
  private let id: UInt64
  private let producerSequence: UInt64?
  private let isProven: Bool
  private let contentBytes: Int
  /// Bytes of the frame without its length, which the limit of a server is about.
  package let bodyBytes: Int
  /// Bytes of the frame with its length.
  package let byteCount: Int

  package init(id: UInt64, producerSequence: UInt64?, eventBytes: Int, isProven: Bool) {
    self.id = id
    self.producerSequence = producerSequence
    self.isProven = isProven
    contentBytes = (producerSequence.map { 1 + Framing.varintSize($0) } ?? 0) + eventBytes + (isProven ? 2 : 0)
    bodyBytes = 2 + Framing.varintSize(id) + Framing.varintSize(UInt64(contentBytes)) + contentBytes
    byteCount = Framing.varintSize(UInt64(bodyBytes)) + bodyBytes
  }

  /// Writes the frame, `byteCount` bytes, which is also what it returns.
  package func write(_ events: UnsafeRawBufferPointer, to start: UnsafeMutableRawPointer) -> Int {
    var pointer = Framing.writeVarint(UInt64(bodyBytes), to: start)
    pointer = Self.write(0x08, id, to: pointer)
    pointer = Self.write(0x1A, UInt64(contentBytes), to: pointer)
    if let producerSequence { pointer = Self.write(0x08, producerSequence, to: pointer) }
    if let base = events.baseAddress {
      pointer.copyMemory(from: base, byteCount: events.count)
      pointer += events.count
    }
    if isProven { pointer = Self.write(0x18, 1, to: pointer) }
    return pointer - start
  }

  private static func write(_ tag: UInt8, _ value: UInt64, to pointer: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
    pointer.storeBytes(of: tag, as: UInt8.self)
    return Framing.writeVarint(value, to: pointer + 1)
  }
}
