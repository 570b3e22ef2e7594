/// Frames in the delimited form of protobuf runtimes: a varint length, then that many bytes.
package enum Framing {
  package enum Step: Equatable {
    /// The range of a frame without its length. Its end is where the next frame begins.
    case frame(Range<Int>)
    /// More bytes are needed: at least this many, counted from `offset`.
    case incomplete(neededBytes: Int)
  }

  /// Finds the frame at `offset`. Checks the length as soon as it has arrived, before the frame's bytes have.
  ///
  /// - Parameter limit: maximum bytes of a frame without its length.
  /// - Throws: `frameTooLarge` above `limit`; `malformedFrame` for a length of more than 5 bytes.
  package static func next(in bytes: UnsafeRawBufferPointer, at offset: Int, limit: Int) throws(RequestError) -> Step {
    var length: UInt64 = 0
    var shift: UInt64 = 0
    var index = offset
    while true {
      guard index < bytes.count else { return .incomplete(neededBytes: index - offset + 1) }
      let byte = bytes[index]
      index += 1
      length |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { break }
      shift += 7
      if shift > 28 {
        throw RequestError(.malformedFrame, "the frame's length is longer than five bytes; is this a hubaudit client?")
      }
    }
    guard length <= UInt64(limit) else {
      throw RequestError(.frameTooLarge, "a frame of \(length) bytes is over the limit of \(limit) bytes (frame_bytes); split it")
    }
    let end = index + Int(length)
    return end <= bytes.count ? .frame(index..<end) : .incomplete(neededBytes: end - offset)
  }

  /// Number of bytes of `value` as a varint.
  package static func varintSize(_ value: UInt64) -> Int {
    value == 0 ? 1 : (70 - value.leadingZeroBitCount) / 7
  }

  /// Writes `value` as a varint and returns the pointer after it.
  @inline(__always)
  package static func writeVarint(_ value: UInt64, to pointer: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
    var value = value
    var pointer = pointer
    while value >= 0x80 {
      pointer.storeBytes(of: UInt8(truncatingIfNeeded: value) | 0x80, as: UInt8.self)
      value >>= 7
      pointer += 1
    }
    pointer.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
    return pointer + 1
  }

  package static func append(varint value: UInt64, to bytes: inout [UInt8]) {
    var value = value
    while value >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    bytes.append(UInt8(value))
  }

  /// `frame` with its length prefix.
  package static func delimited(_ frame: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(frame.count + 5)
    append(varint: UInt64(frame.count), to: &out)
    out += frame
    return out
  }
}
