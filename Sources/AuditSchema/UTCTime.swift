import CAuditSchema
import Glibc

/// The log's times: nanoseconds since 1970-01-01T00:00:00Z.
package enum UTCTime {
  /// The maximum time, in the year 2262: many languages keep nanoseconds in a signed 64-bit number.
  package static let latest = UInt64(Int64.max)

  /// The machine's time, clamped to 0...`latest`.
  package static func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return nanoseconds(seconds: Int64(time.tv_sec), nanoseconds: Int64(time.tv_nsec))
  }

  static func nanoseconds(seconds: Int64, nanoseconds: Int64) -> UInt64 {
    guard seconds >= 0 else { return 0 }
    guard seconds < Int64.max / 1_000_000_000 else { return latest }
    return UInt64(seconds * 1_000_000_000 + nanoseconds)
  }

  /// The format of AG2's clock: ISO 8601 with microseconds (omitted if zero) and Z.
  package static func iso8601Microseconds(_ nanoseconds: UInt64) -> String {
    String(unsafeUninitializedCapacity: rfc3339Bytes) { out in
      let out = out.baseAddress!
      writeDate(nanoseconds, to: out)
      var end = dateBytes
      let microseconds = nanoseconds % 1_000_000_000 / 1000
      if microseconds > 0 {
        out[end] = UInt8(ascii: ".")
        end += 1 + DecimalText.write(microseconds, digits: 6, to: out + end + 1)
      }
      out[end] = UInt8(ascii: "Z")
      return end + 1
    }
  }

  /// RFC 3339 in UTC, with nine decimals.
  package static func rfc3339(_ nanoseconds: UInt64) -> String {
    String(unsafeUninitializedCapacity: rfc3339Bytes) { write(rfc3339: nanoseconds, to: $0.baseAddress!) }
  }

  static func append(rfc3339 nanoseconds: UInt64, to out: TextBuffer) {
    out.withRoom(rfc3339Bytes) { write(rfc3339: nanoseconds, to: $0) }
  }

  private static let dateBytes = 19
  private static let rfc3339Bytes = dateBytes + 11

  private static func write(rfc3339 nanoseconds: UInt64, to out: UnsafeMutablePointer<UInt8>) -> Int {
    writeDate(nanoseconds, to: out)
    out[dateBytes] = UInt8(ascii: ".")
    DecimalText.write(nanoseconds % 1_000_000_000, digits: 9, to: out + dateBytes + 1)
    out[rfc3339Bytes - 1] = UInt8(ascii: "Z")
    return rfc3339Bytes
  }

  /// Writes date and time to the second, without a zone. Counts in years that begin in March; 400 Gregorian years have 146,097 days.
  private static func writeDate(_ nanoseconds: UInt64, to out: UnsafeMutablePointer<UInt8>) {
    let seconds = nanoseconds / 1_000_000_000
    let (days, second) = seconds.quotientAndRemainder(dividingBy: 86_400)
    // Day 0 is 1 March of year 0.
    let (era, day) = (days + 719_468).quotientAndRemainder(dividingBy: 146_097)
    let yearOfEra = (day - day / 1460 + day / 36_524 - day / 146_096) / 365
    let dayOfYear = day - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let fromMarch = (5 * dayOfYear + 2) / 153
    let month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9
    DecimalText.write(400 * era + yearOfEra + (month <= 2 ? 1 : 0), digits: 4, to: out)
    out[4] = UInt8(ascii: "-")
    DecimalText.write(month, digits: 2, to: out + 5)
    out[7] = UInt8(ascii: "-")
    DecimalText.write(dayOfYear - (153 * fromMarch + 2) / 5 + 1, digits: 2, to: out + 8)
    out[10] = UInt8(ascii: "T")
    DecimalText.write(second / 3600, digits: 2, to: out + 11)
    out[13] = UInt8(ascii: ":")
    DecimalText.write(second / 60 % 60, digits: 2, to: out + 14)
    out[16] = UInt8(ascii: ":")
    DecimalText.write(second % 60, digits: 2, to: out + 17)
  }
}
