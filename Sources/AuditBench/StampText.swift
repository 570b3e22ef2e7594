import AuditSchema
import NIOCore

/// The clock of a run: monotonic nanoseconds, and the time of day that belongs to them.
struct BenchClock: Sendable {
  /// Modulo 2^64: the machine's clock may stand before its start.
  private let timeOfDayOffset: UInt64

  init() { timeOfDayOffset = UTCTime.now() &- Self.now }

  /// Monotonic nanoseconds.
  static var now: UInt64 { NIODeadline.now().uptimeNanoseconds }

  /// Nanoseconds since 1970.
  func timeOfDay(at instant: UInt64) -> UInt64 { timeOfDayOffset &+ instant }
}

/// A time as events carry it, `2026-11-23T10:11:12.123456Z`, made anew only from the second down.
struct StampText {
  static let placeholder = "0000-00-00T00:00:00.000000Z"
  private static let secondsEnd = 20

  private var second: UInt64 = 0
  private var text = Array(placeholder.utf8)

  /// - Parameter time: nanoseconds since 1970.
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

  /// Microseconds from the time that `text` says to `now` (nanoseconds since 1970), which is less than half a day away; 0 for one to come.
  ///
  /// - Returns: `nil` when the text is not such a time.
  static func microseconds(since text: UnsafeRawBufferPointer, now: UInt64) -> UInt64? {
    guard text.count == 27, text[10] == UInt8(ascii: "T"), text[19] == UInt8(ascii: ".") else { return nil }
    func number(_ range: Range<Int>) -> UInt64 { range.reduce(0) { $0 * 10 + UInt64(text[$1] &- UInt8(ascii: "0")) } }
    let then = (number(11..<13) * 3600 + number(14..<16) * 60 + number(17..<19)) * 1_000_000 + number(20..<26)
    guard then < dayMicroseconds else { return nil }
    let elapsed = (now / 1000 % dayMicroseconds + dayMicroseconds - then) % dayMicroseconds
    return elapsed > dayMicroseconds / 2 ? 0 : elapsed
  }
}
