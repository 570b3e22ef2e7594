import CAuditSchema
import Glibc

/// Points in time as the log counts them: nanoseconds since 1970-01-01T00:00:00Z.
package enum UTCTime {
  /// The last one that a clock may name: in 2262, the largest number of nanoseconds that 63 bits hold, as many languages keep them.
  package static let latest = UInt64(Int64.max)

  /// What the machine's clock says. One that stands before 1970 is taken as 1970, one after `latest` as that.
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

  /// As AG2's own clock writes it: microseconds, none where they are zero, and Z.
  package static func iso8601Microseconds(_ nanoseconds: UInt64) -> String {
    let (date, fraction) = parts(nanoseconds)
    let microseconds = fraction / 1000
    return microseconds == 0 ? date + "Z" : date + "." + padded(microseconds, 6) + "Z"
  }

  /// RFC 3339 with nine digits, in UTC.
  package static func rfc3339(_ nanoseconds: UInt64) -> String {
    let (date, fraction) = parts(nanoseconds)
    return date + "." + padded(fraction, 9) + "Z"
  }

  private static func parts(_ nanoseconds: UInt64) -> (date: String, fraction: UInt64) {
    var seconds = time_t(nanoseconds / 1_000_000_000)
    var fields = tm()
    gmtime_r(&seconds, &fields)
    let date =
      padded(UInt64(Int(fields.tm_year) + 1900), 4) + "-" + padded(UInt64(fields.tm_mon + 1), 2) + "-" + padded(UInt64(fields.tm_mday), 2)
    let time = padded(UInt64(fields.tm_hour), 2) + ":" + padded(UInt64(fields.tm_min), 2) + ":" + padded(UInt64(fields.tm_sec), 2)
    return (date + "T" + time, nanoseconds % 1_000_000_000)
  }

  private static func padded(_ value: UInt64, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}
