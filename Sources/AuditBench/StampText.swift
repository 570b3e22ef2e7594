import AuditSchema
import NIOCore

/// The clock of a run: monotonic nanoseconds, and their conversion to Unix time.
struct BenchClock: Sendable {
  /// Unix time less monotonic time, modulo 2^64: it may be negative.
  private let timeOfDayOffset: UInt64

  init() { timeOfDayOffset = UTCTime.now() &- Self.now }

  /// The monotonic time in nanoseconds.
  static var now: UInt64 { NIODeadline.now().uptimeNanoseconds }

  /// The Unix time in ns at a monotonic time.
  func timeOfDay(at instant: UInt64) -> UInt64 { timeOfDayOffset &+ instant }
}

/// The text of an event's time, such as `2026-11-23T10:11:12.123456Z`. The part down to the second is cached.
struct StampText {
  static let placeholder = "0000-00-00T00:00:00.000000Z"
  private static let secondsEnd = 20

  private var second: UInt64 = 0
  private var text = Array(placeholder.utf8)

  /// - Parameter time: in Unix ns.
  mutating func set(_ time: UInt64) {
    let (second, rest) = time.quotientAndRemainder(dividingBy: 1_000_000_000)
    if second != self.second {
      self.second = second
      text.replaceSubrange(..<(Self.secondsEnd - 1), with: UTCTime.rfc3339(time).utf8.prefix(Self.secondsEnd - 1))
    }
    var microseconds = rest / 1000
    for index in stride(from: Self.secondsEnd + 5, through: Self.secondsEnd, by: -1) {
      text[index] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: microseconds % 10)
      microseconds /= 10
    }
  }

  func write(to bytes: inout [UInt8], at offset: Int) {
    bytes.withUnsafeMutableBytes { bytes in
      text.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<offset + $0.count]).copyMemory(from: $0) }
    }
  }

  private static let dayMicroseconds: UInt64 = 86_400_000_000

  /// Microseconds from the time in `text` to `now` (Unix ns). The two must be less than half a day apart. 0 if `text` is in the future.
  ///
  /// - Returns: `nil` if `text` does not have this format.
  static func microseconds(since text: UnsafeRawBufferPointer, now: UInt64) -> UInt64? {
    guard text.count == 27, text[10] == UInt8(ascii: "T"), text[19] == UInt8(ascii: ".") else { return nil }
    func number(_ range: Range<Int>) -> UInt64 { range.reduce(0) { $0 * 10 + UInt64(text[$1] &- UInt8(ascii: "0")) } }
    let then = (number(11..<13) * 3600 + number(14..<16) * 60 + number(17..<19)) * 1_000_000 + number(20..<26)
    guard then < dayMicroseconds else { return nil }
    let elapsed = (now / 1000 % dayMicroseconds + dayMicroseconds - then) % dayMicroseconds
    return elapsed > dayMicroseconds / 2 ? 0 : elapsed
  }
}
