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
    var out: [UInt8] = []
    appendDate(nanoseconds, to: &out)
    let microseconds = nanoseconds % 1_000_000_000 / 1000
    if microseconds > 0 {
      out.append(UInt8(ascii: "."))
      DecimalText.append(microseconds, width: 6, to: &out)
    }
    out.append(UInt8(ascii: "Z"))
    return String(decoding: out, as: UTF8.self)
  }

  /// RFC 3339 with nine digits, in UTC.
  package static func rfc3339(_ nanoseconds: UInt64) -> String {
    var out: [UInt8] = []
    append(rfc3339: nanoseconds, to: &out)
    return String(decoding: out, as: UTF8.self)
  }

  package static func append(rfc3339 nanoseconds: UInt64, to out: inout [UInt8]) {
    appendDate(nanoseconds, to: &out)
    out.append(UInt8(ascii: "."))
    DecimalText.append(nanoseconds % 1_000_000_000, width: 9, to: &out)
    out.append(UInt8(ascii: "Z"))
  }

  /// To the second, without a zone.
  private static func appendDate(_ nanoseconds: UInt64, to out: inout [UInt8]) {
    var seconds = time_t(nanoseconds / 1_000_000_000)
    var fields = tm()
    gmtime_r(&seconds, &fields)
    DecimalText.append(UInt64(Int(fields.tm_year) + 1900), width: 4, to: &out)
    for (separator, value) in [
      ("-" as Unicode.Scalar, fields.tm_mon + 1), ("-", fields.tm_mday), ("T", fields.tm_hour), (":", fields.tm_min), (":", fields.tm_sec),
    ] {
      out.append(UInt8(ascii: separator))
      DecimalText.append(UInt64(value), width: 2, to: &out)
    }
  }
}
